"""Drafts of trees that exist only in a test."""

from __future__ import annotations

from pytest_codex_workspace.drafts.detect import draft_of
from pytest_codex_workspace.drafts.draft import Draft
from pytest_codex_workspace.drafts.tree import ProjectFiles


def tree_of(files: dict[str, str]) -> ProjectFiles:
    """
    Return a tree of *files*.
    """
    return ProjectFiles(files, files.__getitem__)


def lines_of(files: dict[str, str]) -> list[str]:
    """
    Return the lines that install what *files* need.
    """
    return [line for one in draft_of(tree_of(files)).installs for line in one.lines]


def commands_of(files: dict[str, str]) -> list[str]:
    """
    Return the commands that test *files*.
    """
    return [one.command for one in draft_of(tree_of(files)).tests]


def whole(files: dict[str, str]) -> Draft:
    """
    Return the draft of *files*.
    """
    return draft_of(tree_of(files))
