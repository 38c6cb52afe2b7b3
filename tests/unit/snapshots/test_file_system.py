"""Tests of the comparison of two containers' files."""

from __future__ import annotations

import json
import stat

import pytest

from pytest_codex_workspace.errors import ChangesError
from pytest_codex_workspace.snapshots.file_system import (
    MOST_PATHS,
    described,
    file_changes,
    recent_paths,
    started_at,
    unlisted,
)
from pytest_codex_workspace.workspace.result import ExecResult

from .test_work_tree import Answering

FILE = (stat.S_IFREG, 0o644, 0, 0, 3, "digest")


def test_how_descriptions_differ():
    """
    What exists on one side only, and what is not the same; a directory not for its entries.
    """
    folder = (stat.S_IFDIR, 0o755, 0, 0, 0, "a/b")
    before = {"/same": FILE, "/old": FILE, "/mode": FILE, "/d": folder}
    now = {
        "/same": FILE,
        "/new": FILE,
        "/mode": (*FILE[:1], 0o600, *FILE[2:]),
        "/d": (*folder[:5], "a"),
    }

    found = file_changes(before, now, ["/old", "/new", "/mode", "/same", "/d", "/nowhere"])

    assert [(one.path, one.kind, one.size) for one in found] == [
        ("/mode", "changed", 3),
        ("/new", "added", 3),
        ("/old", "removed", 0),
    ]


def test_a_directory_that_is_gone_stands_for_what_was_in_it():
    """
    Whatever of that was written lately enough to be described; a neighbour with a longer name was
    not in it.
    """
    folder = (stat.S_IFDIR, 0o755, 0, 0, 0, "")
    inside = {"/d/a": FILE, "/d/e": folder, "/d/e/f": FILE, "/d-g": FILE, "/link/a": FILE}
    before = {"/d": folder, "/link": folder, **inside}
    now = {"/link": (stat.S_IFLNK, 0o777, 0, 0, 1, "a")}

    found = file_changes(before, now, [*before])

    assert [(one.path, one.kind) for one in found] == [
        ("/d", "removed"),
        ("/d-g", "removed"),
        ("/link", "changed"),
    ]


def test_only_what_was_asked_for_is_taken():
    """
    However much the workspace answers.
    """
    commands = Answering(json.dumps({"/a": FILE, "/b": FILE}).encode())

    assert described(commands, ["/a", "/c"], "here") == {"/a": FILE}
    assert json.loads(commands.asked["input"]) == {"paths": ["/a", "/c"]}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"5",
        b'["/a"]',
        b'{"/a": 5}',
        b'{"/a": []}',
        b'{"/a": [1, 2, 3, 4, 5, 6]}',
        b'{"/a": [1, 2, 3, 4, -5, "x"]}',
        b'{"/a": [1, 2, 3, 4, 5.5, "x"]}',
        b'{"/a": [1, 2, 3, 4, 1e400, "x"]}',
        b'{"/a": [1, 2, 3, 4, 5, "x", "y"]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_of_another_form_is_an_error(said):
    """
    It names the container.
    """
    for ask in (started_at, lambda commands: recent_paths(commands, 1, "the workspace")):
        if said not in (b"5", b'["/a"]'):
            with pytest.raises(ChangesError, match="in the workspace: oops"):
                ask(Answering(said, b"oops"))
    with pytest.raises(ChangesError, match="did not describe them in the workspace: oops"):
        described(Answering(said, b"oops"), ["/a"], "the workspace")


def test_what_is_recent_is_bounded_and_typed():
    """
    Paths begin at the root.
    """
    many = Answering(json.dumps(["/x"] * 60_000).encode())
    assert len(recent_paths(many, 1, "here")) == MOST_PATHS + 1
    assert json.loads(many.asked["input"]) == {"since": 1, "most": MOST_PATHS}
    for wrong in ("x", 5, "/x\0"):
        with pytest.raises(ChangesError):
            recent_paths(Answering(json.dumps([wrong]).encode()), 1, "here")
    assert started_at(Answering(b"5")) == 5
    for wrong in (b"NaN", b"5.5", b"-5", b"9" * 30, b'"5"', b"true"):
        with pytest.raises(ChangesError):
            started_at(Answering(wrong))


def test_what_only_a_directory_shows():
    """
    A file that was removed before it was listed; not in a directory whose names are not known.
    """
    folder = (stat.S_IFDIR, 0o755, 0, 0, 0, "")
    before = {"/": (*folder[:5], "a/d"), "/d": (*folder[:5], "gone/kept"), "/big": folder}
    now = {"/": (*folder[:5], "d"), "/d": (*folder[:5], "kept/new"), "/big": (*folder[:5], "x")}
    now["/d/new"] = FILE

    assert unlisted(before, now) == {"/a", "/d/gone"}


def test_an_answer_without_words_has_its_exit_code():
    """
    A program that was replaced may say nothing.
    """

    class Silent:
        def run(self, argv, **how) -> ExecResult:
            return ExecResult(argv, 3, b"", b"", 0.1)

    with pytest.raises(ChangesError, match=r"exit code 3. See whether `python3 --version` works"):
        described(Silent(), ["/a"], "the workspace")
