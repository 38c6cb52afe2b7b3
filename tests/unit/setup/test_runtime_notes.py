"""What is said about the runtimes of an image: in one line, and once a day."""

from __future__ import annotations

import os
import time

import pytest

from pytest_codex_workspace.setup.runtime_notes import RuntimeNotes, in_one_line

LINES = [
    "slim has Python 3.13.5, not Codex's default 3.12; CODEX_ENV_PYTHON_VERSION=3.13.5 says that",
    "slim has Java 17, 21, not Codex's default 11; CODEX_ENV_JAVA_VERSION=21 says that you want it",
    "slim has no Swift (Codex's default is 6.1); the image 'universal' has it",
]


def test_the_differences_are_one_line():
    """
    Other lines stay as they are.
    """
    other, line = in_one_line([LINES[0], "# node: v22", *LINES[1:]])

    assert other == "# node: v22"
    assert line == (
        "slim differs from Codex: Python 3.13.5 (not 3.12), Java 17, 21 (not 11), no Swift (6.1); "
        "CODEX_ENV_*_VERSION choose, and --codex-image=universal has all"
    )
    assert in_one_line([]) == []


def test_it_is_said_once_a_day_for_an_image(cache_home):
    """
    Layers, sessions and processes share what has been said; another image is another matter.
    """
    notes = RuntimeNotes("one")
    assert [len(notes.new(LINES)), len(notes.new(LINES))] == [1, 0]
    assert RuntimeNotes("one").new(LINES) == []
    assert len(RuntimeNotes("two").new(LINES)) == 1
    assert len(RuntimeNotes("one").new(LINES[:1])) == 1

    told = cache_home / "codex-workspace" / "notes"
    for age in (25 * 3600, -25 * 3600):
        for path in told.iterdir():
            os.utime(path, (time.time() - age,) * 2)
        assert len(RuntimeNotes("one").new(LINES)) == 1
    for path in told.iterdir():
        os.utime(path, (0, 0))
    RuntimeNotes("one").new(LINES)
    assert len(list(told.iterdir())) == 1


@pytest.mark.parametrize("broken", ["file", "nowhere"])
def test_where_nothing_can_be_written_it_is_said_once_a_session(tmp_path, monkeypatch, broken):
    """
    A home directory that is read-only is no error.
    """
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "codex-workspace").mkdir(mode=0o700)
    (tmp_path / "cache" / "codex-workspace" / "notes").touch()
    home = {"file": tmp_path / "cache", "nowhere": "/proc/nowhere"}[broken]
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")

    for _ in range(2):
        notes = RuntimeNotes("one")
        assert [len(notes.new(LINES)), len(notes.new(LINES))] == [1, 0]
