"""Tests of trees on this machine; `test_transfer` tests what archives do to them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.workspace.host_tree import HostTree, RefusedName, folding


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[HostTree]:
    """
    Return a tree in a directory of its own.
    """
    found = HostTree(tmp_path, "tree")
    yield found
    found.close()


def _write(tree: HostTree, *parts: str) -> None:
    with tree.create(parts) as file:
        file.write(b"x")


def test_files_are_created_with_their_directories(tree, tmp_path):
    """
    Neighbours share their directory, and an existing file is replaced, not overwritten.
    """
    (tmp_path / "tree/a").mkdir(parents=True)
    (tmp_path / "kept").write_text("kept")
    os.link(tmp_path / "kept", tmp_path / "tree/a/one")

    for parts in (("a", "one"), ("a", "b", "two"), ("c", "three"), ("a", "four")):
        _write(tree, *parts)

    assert (tmp_path / "kept").read_text() == "kept"
    files = [one.relative_to(tmp_path) for one in tmp_path.rglob("*") if one.is_file()]
    assert sorted(map(str, files)) == [
        "kept",
        "tree/a/b/two",
        "tree/a/four",
        "tree/a/one",
        "tree/c/three",
    ]


@pytest.mark.parametrize("at", ["tree", "tree/a", "tree/a/b"])
def test_no_directory_is_a_link(tree, tmp_path, at):
    """
    The link may come between two files, too, and may be the tree itself.
    """
    (tmp_path / "outside/b").mkdir(parents=True)
    (tmp_path / at).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / at).symlink_to(tmp_path / "outside")

    with pytest.raises(RefusedName, match="through the link"):
        _write(tree, "a", "b", "f")
    with pytest.raises(RefusedName, match="through the link"):
        tree.make_directory(("a", "b", "c"), 0o755)

    assert list((tmp_path / "outside").rglob("*")) == [tmp_path / "outside/b"]


def test_what_is_not_a_file_is_not_opened(tree, tmp_path):
    """
    A FIFO does not block.
    """
    _write(tree, "file")
    os.mkfifo(tmp_path / "tree/fifo")
    (tmp_path / "tree/link").symlink_to("file")

    assert [tree.open((name,)) for name in ("fifo", "link", "nothing")] == [None, None, None]
    with tree.open(("file",)) as file:
        assert file.read() == b"x"
    with pytest.raises(FileExistsError, match="tree/fifo"):
        tree.create(("fifo",))


def test_a_link_goes_up_and_then_down(tree, tmp_path):
    """
    What a directory could be replaced by does not matter then.
    """
    tree.make_directory(("a", "b"), 0o755)
    for target, kept in [("b/../../b", "../b"), ("b/./..", "."), ("../a/./b", "../a/b")]:
        tree.make_link(("a", "l"), target)
        assert str((tmp_path / "tree/a/l").readlink()) == kept


@pytest.mark.parametrize(
    ("fold", "same"),
    [
        (str.casefold, ("Readme", "README")),
        (str.casefold, ("Dir/file", "dir/other")),
        (lambda text: unicodedata.normalize("NFD", text), ("\u00e9", "e\u0301")),
    ],
)
def test_names_that_are_one_file_are_refused(tree, monkeypatch, fold, same):
    """
    Otherwise, one member would silently replace or redirect another.
    """
    first, second = (tuple(name.split("/")) for name in same)
    monkeypatch.setattr(tree, "_fold", fold)

    _write(tree, *first)
    _write(tree, *first)
    with pytest.raises(RefusedName, match="differs from another name"):
        _write(tree, *second)
    with pytest.raises(RefusedName, match="differs from another name"):
        tree.make_link(second, "x")


def test_a_file_system_says_how_it_compares(tmp_path):
    """
    Linux compares bytes by default. The probe leaves nothing behind.
    """
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert folding(directory) is None or Path(str(tmp_path).swapcase()).exists()
    finally:
        os.close(directory)
    assert list(tmp_path.iterdir()) == []
