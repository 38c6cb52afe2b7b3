"""Committed files in memory, for the rules that read them."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_codex_workspace.checks.tree import CommittedFile, CommittedTree

__all__ = ["memory_tree"]


def memory_tree(files: Mapping[str, str | bytes]) -> CommittedTree:
    """
    Return a tree of these files. A name that begins with `+` is executable, `->` makes a link.
    """
    contents = {}
    listed = {}
    for name, content in files.items():
        path = name.removeprefix("+")
        data = content.encode() if isinstance(content, str) else content
        mode = "120000" if data.startswith(b"->") else "100755" if name != path else "100644"
        blob = f"id of {path}"
        contents[blob] = data.removeprefix(b"->") if mode == "120000" else data
        listed[path] = CommittedFile(mode, blob, len(data))
    return CommittedTree(
        listed, lambda blobs: {one: contents[one] for one in blobs if one in contents}
    )
