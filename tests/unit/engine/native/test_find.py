"""Where the engine of namespaces works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.find import (
    bad_file_system,
    open_engine,
    problem_of_machine,
)
from pytest_codex_workspace.errors import EngineUnavailable


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"system": "Darwin"}, "needs Linux, and this is Darwin"),
        ({"machine": "riscv64"}, "no system calls of riscv64"),
        ({"release": "5.10.0-30-amd64"}, "needs Linux 5.14, and this is 5.10.0-30-amd64"),
    ],
)
def test_where_it_cannot_work_it_says_so(facts: dict[str, object], words: str):
    """
    In one line, with what to use instead.
    """
    usual = {"system": "Linux", "machine": "x86_64", "release": "6.12.0", "user": 0}

    problem = problem_of_machine(**{**usual, **facts})

    assert words in problem
    assert "Docker or Podman" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("url", ["native://", "native://relative/path"])
def test_a_directory_is_absolute(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Nothing is written where pytest happens to run.
    """
    monkeypatch.setattr("pytest_codex_workspace.engine.native.find.problem_of_machine", lambda: "")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(EngineUnavailable, match="names no directory"):
        open_engine(url)
    assert [] == list(tmp_path.iterdir())


def test_a_directory_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    What is root's for one of them is not for the other.
    """
    monkeypatch.setattr("pytest_codex_workspace.engine.native.find.problem_of_machine", lambda: "")
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)

    with pytest.raises(EngineUnavailable, match="belongs to another user"):
        open_engine(f"native://{tmp_path}")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/.cache", ""),
        ("/var/lib", "overlay"),
        ("/home/me/net/x", "fuse.sshfs"),
        ("/home/me/network", ""),
    ],
)
def test_some_file_systems_have_no_upper_directory(path: str, kind: str):
    """
    That of the longest path above the directory counts.
    """
    mounts = (
        "none / overlay rw 0 0\n/dev/sda /home ext4 rw 0 0\nhost: /home/me/net fuse.sshfs rw 0 0\n"
    )

    assert kind == bad_file_system(Path(path), mounts)
