"""Tests of the files that an image is built from."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from pytest_codex_workspace.images.context import BuildContext


def context(**files: bytes) -> BuildContext:
    """
    Return a context with these files.
    """
    made = BuildContext()
    for name, content in files.items():
        made.add(name, content)
    return made


def test_the_key_depends_on_names_and_contents() -> None:
    """
    Equal files give an equal key; another name, content or part gives another key.
    """
    key = context(a=b"1", b=b"2").key(base="x")

    assert context(b=b"2", a=b"1").key(base="x") == key
    assert context(a=b"1", c=b"2").key(base="x") != key
    assert context(a=b"1", b=b"3").key(base="x") != key
    assert context(a=b"1", b=b"2").key(base="y") != key


def test_a_file_can_be_left_out_of_the_key() -> None:
    """
    A change of such a file does not rebuild the image.
    """
    first, second = context(a=b"1"), context(a=b"1")
    first.add_unkeyed("date", lambda: b"today")
    second.add_unkeyed("date", lambda: b"tomorrow")

    assert first.key() == second.key()
    assert first.names == ["a", "date"]


def test_a_tree_leaves_out_temporary_files(tmp_path: Path) -> None:
    """
    Hidden files, backups, compiled Python files and unwanted files are left out.
    """
    for name in ("a.py", "sub/b.py", "sub/.hidden", "a.py~", "__pycache__/a.pyc", "no.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    made = BuildContext()

    made.add_tree(tmp_path, "at", lambda path: path.suffix == ".py")

    assert made.names == ["at/a.py", "at/sub/b.py"]


def test_the_archive_depends_on_the_content_only(tmp_path: Path) -> None:
    """
    The mode and time of files on the host are not in the archive.
    """
    archives = []
    for mode, time in ((0o600, 1), (0o755, 2_000_000_000)):
        path = tmp_path / str(mode) / "file"
        path.parent.mkdir()
        path.write_bytes(b"content")
        path.chmod(mode)
        os.utime(path, (time, time))
        made = BuildContext()
        made.add_tree(path.parent, "tree")
        with made.open() as archive:
            archives.append(archive.read())
        with made.open() as archive, tarfile.open(fileobj=archive) as tar:
            assert [member.name for member in tar.getmembers()] == ["tree", "tree/file"]

    assert archives[0] == archives[1]
