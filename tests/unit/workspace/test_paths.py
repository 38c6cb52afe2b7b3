"""Tests of paths in a workspace, with a local agent."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.paths import WorkspacePath, bind

from ...helpers.local_agent import local_channel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    """
    A channel to an agent that all tests of this file share.
    """
    with local_channel() as channel:
        yield channel


@pytest.fixture
def project(channel, tmp_path) -> WorkspacePath:
    """
    A project directory: `tmp_path` on this machine.
    """
    return bind(channel, str(tmp_path))()


def test_relative_paths_start_at_the_project(channel):
    """
    Absolute paths are unchanged.
    """
    path = bind(channel, "/workspace/x")

    assert str(path("a", "b")) == "/workspace/x/a/b"
    assert str(path("/etc", "hosts")) == "/etc/hosts"
    assert str(path()) == "/workspace/x"
    assert path("a") == PurePosixPath("/workspace/x/a")


def test_derived_paths_belong_to_the_same_workspace(project):
    """
    Every method that derives a path is checked.
    """
    path = project / "a" / "b.txt"
    derived = [
        path.parent,
        path.parents[1],
        path.with_suffix(".md"),
        path.with_name("c"),
        path.joinpath("x"),
        "/etc" / path,
        path.relative_to(project),
    ]

    assert {type(one) for one in derived} == {type(project)}
    assert not any(one.is_file() for one in derived)
    assert str(path.relative_to(project)) == "a/b.txt"


def test_each_workspace_has_its_own_path_class(channel, tmp_path):
    """
    Paths of two workspaces cannot be confused.
    """
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = (bind(channel, str(tmp_path / name)) for name in ("one", "two"))

    one("file").write_text("x")
    assert one("file").exists()
    assert not two("file").exists()


def test_text_and_bytes_are_read_and_written(project, tmp_path):
    """
    `pathlib` reads and writes the same.
    """
    path = project / "file"

    assert path.write_text("é\n") == 2
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\n"
    assert path.read_text() == "é\n"
    assert path.write_bytes(b"a\r\nb\xff") == 5
    assert path.read_bytes() == b"a\r\nb\xff"
    assert path.read_text(errors="replace") == "a\nb\ufffd"
    assert path.read_text("latin-1") == "a\nbÿ"
    with pytest.raises(UnicodeDecodeError):
        path.read_text()


def test_large_files_arrive_complete(project, tmp_path):
    """
    They are sent in several pieces.
    """
    data = os.urandom(3_000_000)
    (project / "large").write_bytes(data)

    assert (tmp_path / "large").read_bytes() == data
    assert (project / "large").read_bytes() == data
    (project / "large").write_bytes(b"")
    assert (project / "large").read_bytes() == b""


def test_the_kind_of_a_file_is_recognised(project, tmp_path):
    """
    Only `is_symlink` does not follow links.
    """
    (tmp_path / "file").write_text("12345")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("directory")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")

    def kinds(name: str) -> tuple[bool, ...]:
        path = project / name
        return path.exists(), path.is_file(), path.is_dir(), path.is_symlink()

    assert kinds("file") == (True, True, False, False)
    assert kinds("directory") == (True, False, True, False)
    assert kinds("link") == (True, False, True, True)
    assert kinds("dangling") == (False, False, False, True)
    assert kinds("loop") == (False, False, False, True)
    assert kinds("nothing") == (False, False, False, False)
    assert kinds("file/below") == (False, False, False, False)
    assert (project / "file").stat().st_size == 5


def test_names_that_are_not_text_are_preserved(project, tmp_path):
    """
    They contain surrogates, as on this machine.
    """
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff\n")).write_text("found")

    (path,) = project.iterdir()
    assert path.name == "n\udcff\n"
    assert path.read_text() == "found"
    path.unlink()
    assert list(project.iterdir()) == []


def test_directories_are_created_and_listed_in_order(project):
    """
    Missing parent directories are created on request.
    """
    for name in ("b/x", "a", "c"):
        (project / name).mkdir(parents=True)

    assert [path.name for path in project.iterdir()] == ["a", "b", "c"]
    (project / "a").mkdir(exist_ok=True)
    (project / "b" / "x").mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize(
    ("act", "error", "number"),
    [
        (lambda path: (path / "no").read_text(), FileNotFoundError, errno.ENOENT),
        (lambda path: (path / "no").unlink(), FileNotFoundError, errno.ENOENT),
        (lambda path: (path / "no/x").write_text(""), FileNotFoundError, errno.ENOENT),
        (lambda path: (path / "no/x").mkdir(), FileNotFoundError, errno.ENOENT),
        (lambda path: (path / "no").iterdir(), FileNotFoundError, errno.ENOENT),
        (lambda path: (path / "no").stat(), FileNotFoundError, errno.ENOENT),
        (lambda path: (path / "file").mkdir(exist_ok=True), FileExistsError, errno.EEXIST),
        (lambda path: (path / "file").iterdir(), NotADirectoryError, errno.ENOTDIR),
        (lambda path: path.read_bytes(), IsADirectoryError, errno.EISDIR),
        (lambda path: path.write_bytes(b""), IsADirectoryError, errno.EISDIR),
        (lambda path: path.unlink(), IsADirectoryError, errno.EISDIR),
    ],
)
def test_errors_are_builtin_errors(project, act, error, number):
    """
    They have the usual number and text, and the path in the workspace.
    """
    (project / "file").write_text("")

    with pytest.raises(error) as caught:
        act(project)
    assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))
    assert caught.value.filename.startswith(str(project))


def test_unlink_may_ignore_a_missing_file(project):
    """
    `missing_ok` must be set.
    """
    (project / "no").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (project / "no").unlink()


def test_a_path_with_a_null_byte_is_refused(project):
    """
    The builtin functions do the same.
    """
    with pytest.raises(ValueError, match="null byte"):
        (project / "a\0b").read_text()
    with pytest.raises(ValueError, match="null byte"):
        (project / "a\0b").write_text("")


def test_a_path_becomes_a_plain_one_in_another_process(project):
    """
    The other process has no connection to the workspace.
    """
    again = pickle.loads(pickle.dumps(project / "a"))

    assert type(again) is PurePosixPath
    assert again == project / "a"


def test_text_has_a_lower_limit_than_bytes(project, tmp_path, monkeypatch):
    """
    Text may take four times the memory of its bytes.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.paths._TEXT_LIMIT", 1000)
    (tmp_path / "large").write_bytes(bytes(2000))

    assert len((project / "large").read_bytes()) == 2000
    with pytest.raises(OSError, match="download"):
        (project / "large").read_text()
