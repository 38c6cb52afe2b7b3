"""Directories that programs of containers have made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.runner.removal import remove_tree

DEPTH = 2500
"""More levels than fit into a path, a process's table of files and Python's stack."""


def nest(directory: Path, depth: int = DEPTH) -> None:
    """
    Make directories in each other, as a program does that changes into each.
    """
    above = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=above)
        below = os.open("a", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)


@pytest.mark.slow
def test_a_directory_is_removed_however_deep_it_is(tmp_path: Path):
    """
    Nothing is left of it or beside it, and links are not followed.
    """
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("1")
    nest(tree)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("2")
    (tree / "link").symlink_to(tmp_path / "kept")

    remove_tree(str(tree))

    assert [tmp_path / "kept"] == list(tmp_path.iterdir())
    assert "2" == (tmp_path / "kept/file").read_text()


def test_nothing_happens_without_a_directory(tmp_path: Path):
    """
    Another process may have removed it.
    """
    remove_tree(str(tmp_path / "none"))

    assert [] == list(tmp_path.iterdir())
