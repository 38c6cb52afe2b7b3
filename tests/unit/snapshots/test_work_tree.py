"""Tests of the question about the work tree: what an adversary answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_codex_workspace.errors import ChangesError
from pytest_codex_workspace.snapshots.work_tree import work_tree_changes, work_tree_patch
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.result import ExecResult

from ...helpers.local_agent import local_channel
from ...helpers.repositories import Repository, host_environment

HEAD = "a" * 40


@dataclass
class Answering:
    """
    A workspace in which every program prints the same.
    """

    stdout: bytes
    stderr: bytes = b""
    code: int = 0
    truncated: bool = False
    asked: dict[str, Any] = field(default_factory=dict)

    def run(self, argv, **how) -> ExecResult:
        self.asked = {"argv": argv, **how}
        return ExecResult(argv, self.code, self.stdout, self.stderr, 0.1, self.truncated)


def answer(**fields: Any) -> bytes:
    return json.dumps({"changes": [], "more": 0, "cut": False, **fields}).encode()


def test_the_answer_becomes_changes():
    """
    As many as it has said.
    """
    said = answer(changes=[["a", "added", 3, "diff"]], more=1)
    commands = Answering(said)

    found = work_tree_changes(commands, "/workspace/x", HEAD)

    assert [(one.path, one.kind, one.size, one.text()) for one in found] == [
        ("a", "added", 3, "diff")
    ]
    assert (found.truncated, found.since) == (True, "the commit aaaaaaaaaaaa")
    assert commands.asked["argv"][-4:-1] == ["list", "/workspace/x", HEAD]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        answer(changes=[["a", "moved", 3, ""]]),
        answer(changes=[["a", "added", "3", ""]]),
        answer(changes=[["a", "added", True, ""]]),
        answer(changes=[[1, "added", 3, ""]]),
        answer(changes=[["a", "added", 3, None]]),
        answer(changes=[["a", "added"]]),
        answer(changes=["abcd"]),
        answer(changes=[["a", [], 3, ""]]),
        answer(changes=5),
        answer(more="many"),
        answer(more=1e999),
    ],
)
def test_an_answer_of_another_form_is_an_error(said):
    """
    A command may have replaced git or Python.
    """
    with pytest.raises(ChangesError, match="/workspace/x cannot be told"):
        work_tree_changes(Answering(said), "/workspace/x", HEAD)


def test_an_answer_is_bounded():
    """
    Numbers, paths and texts, and how many there are.
    """
    many = [["p" * 9999, "added", -5, ""], *([["b", "removed", 10**30, ""]] * 20_000)]

    found = work_tree_changes(Answering(answer(changes=many, more=10**40)), "/w", HEAD)

    assert len(found) == 10_000
    assert (len(found[0].path), found[0].size) == (4096, 0)
    assert found[1].size == 1 << 62
    assert len(found.lines(1)[1]) < 40


def test_what_git_says_is_in_the_error():
    """
    And what to look at; without control characters.
    """
    commands = Answering(b"", b"fatal: \x1b[2Jbad object\n", 1)

    for ask in (work_tree_changes, work_tree_patch):
        with pytest.raises(ChangesError) as caught:
            ask(commands, "/workspace/x", HEAD)
        assert str(caught.value) == (
            "what has changed in /workspace/x cannot be told: fatal: bad object. "
            "See what `git -C /workspace/x status` says in the workspace."
        )


def test_a_patch_is_whole_or_an_error():
    """
    git would apply a part of it.
    """
    assert work_tree_patch(Answering("diff \N{EURO SIGN}".encode()), "/w", HEAD) == "diff \u20ac"
    for commands in (Answering(b"diff", truncated=True), Answering(b"\xff")):
        with pytest.raises(ChangesError, match="cannot be told: git or Python answered something"):
            work_tree_patch(commands, "/w", HEAD)


@pytest.fixture
def local(tmp_path) -> Iterator[tuple[Channel, Repository]]:
    """
    A real agent, and a repository beside it.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({"a.txt": "one\n"})
    with local_channel(**repo.env) as channel:
        yield channel, repo


@pytest.mark.needs_git
def test_through_a_real_agent(local):
    """
    The program is sent as it is.
    """
    channel, repo = local
    head = repo.head()
    (repo.path / "a.txt").write_text("two\n")

    [one] = work_tree_changes(channel, str(repo.path), head)

    assert (one.path, one.kind, one.size) == ("a.txt", "changed", 4)
    assert work_tree_patch(channel, str(repo.path), head) == one.text()
