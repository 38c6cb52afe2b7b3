"""The draft of a whole tree."""

from __future__ import annotations

from .draft import Draft
from .languages import add_languages
from .node import add_node
from .python import add_python
from .runtimes import add_runtimes
from .surroundings import add_surroundings
from .tree import ProjectFiles

__all__ = ["draft_of"]


def draft_of(tree: ProjectFiles) -> Draft:
    """
    Return what the files of a tree say about what it needs.
    """
    draft = Draft()
    add_runtimes(tree, draft)
    add_python(tree, draft)
    add_node(tree, draft)
    add_languages(tree, draft)
    add_surroundings(tree, draft)
    return draft
