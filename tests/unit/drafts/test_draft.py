"""Tests of lines that run in a folder."""

from __future__ import annotations

from pytest_codex_workspace.drafts.draft import in_folder


def test_lines_run_in_their_folder() -> None:
    """
    Whatever its name is; the shell stays where it is.
    """
    assert ("a", "b") == in_folder("", ["a", "b"])
    assert ("(cd 'x; reboot' && a && b)",) == in_folder("x; reboot", ["a", "b"])
