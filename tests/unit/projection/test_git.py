"""Tests of running git on the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.git import (
    git,
    isolated_environment,
    reading_environment,
    run_git,
    shared_dir,
)

from ...helpers.local_agent import until_ended
from ...helpers.repositories import Repository, host_environment


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """
    Return the environment of the user.
    """
    return host_environment(tmp_path / "home")


def test_a_failure_is_returned(env: dict[str, str], tmp_path: Path) -> None:
    """
    `run_git` returns the exit code and the message of a failed command.
    """
    result = run_git("rev-parse", "HEAD", env=env, cwd=tmp_path)

    assert result.code == 128
    assert result.stdout == b""
    assert result.stderr.startswith("fatal: not a git repository")


def test_a_failure_is_raised_with_the_message_of_git(env: dict[str, str], tmp_path: Path) -> None:
    """
    `git` raises an error with the subcommand, without the options in front of it.
    """
    with pytest.raises(ProjectionError, match=r"^git rev-parse failed: fatal: not a git"):
        git("-c", "core.pager=cat", "rev-parse", "HEAD", env=env, cwd=tmp_path)


def test_a_failure_without_a_message_shows_the_exit_code(
    env: dict[str, str], tmp_path: Path
) -> None:
    """
    If git prints nothing, the error has the exit code.
    """
    with pytest.raises(ProjectionError, match="git fail failed: exit code 3, without a message"):
        git("-c", "alias.fail=!exit 3", "fail", env=env, cwd=tmp_path)


def test_input_and_output_are_bytes(env: dict[str, str], tmp_path: Path) -> None:
    """
    Any bytes can be passed to git and read from it.
    """
    repo = Repository(tmp_path / "repo", env)
    data = b"\xff\0\n"
    name = git("hash-object", "-w", "--stdin", env=env, cwd=repo.path, input=data).decode().strip()

    assert git("cat-file", "blob", name, env=env, cwd=repo.path) == data


def test_a_hanging_git_is_killed_with_its_children(env: dict[str, str], tmp_path: Path) -> None:
    """
    After the timeout, the whole process group is killed.
    """
    alias = f"alias.wait=!sleep 600 & echo $! >{tmp_path}/pid; wait"

    with pytest.raises(ProjectionError, match=r"git wait did not end within 1 s and was killed"):
        run_git("-c", alias, "wait", env=env, cwd=tmp_path, timeout=1)

    until_ended(int((tmp_path / "pid").read_text()))


def test_a_missing_directory_is_explained(env: dict[str, str], tmp_path: Path) -> None:
    """
    A missing working directory is not mistaken for a missing git.
    """
    with pytest.raises(ProjectionError, match=r"gone no longer exists\. Give its current path"):
        run_git("status", env=env, cwd=tmp_path / "gone")


def test_a_missing_git_is_explained(env: dict[str, str], tmp_path: Path) -> None:
    """
    The error says how to install git.
    """
    with pytest.raises(
        ProjectionError, match=r"git is not installed, or not on PATH\. Install git"
    ):
        run_git("status", env={**env, "PATH": str(tmp_path)}, cwd=tmp_path)


def test_the_reading_environment_keeps_the_configuration_of_the_user() -> None:
    """
    Variables that name another repository are removed; the user's configuration stays.
    """
    environ = {
        "GIT_CONFIG_GLOBAL": "/home/me/.gitconfig",
        "GIT_DIR": "/elsewhere/.git",
        "GIT_INDEX_FILE": "/elsewhere/.git/index",
        "GIT_TRACE": "1",
        "GIT_TRACE2_EVENT": "/log",
        "GIT_OPTIONAL_LOCKS": "1",
        "HOME": "/home/me",
    }

    env = reading_environment(environ)

    assert not {"GIT_DIR", "GIT_INDEX_FILE", "GIT_TRACE", "GIT_TRACE2_EVENT"} & set(env)
    assert (env["HOME"], env["GIT_CONFIG_GLOBAL"]) == ("/home/me", "/home/me/.gitconfig")
    assert (env["GIT_OPTIONAL_LOCKS"], env["GIT_NO_LAZY_FETCH"]) == ("0", "1")


def test_the_isolated_environment_has_no_configuration_of_the_host(tmp_path: Path) -> None:
    """
    Only the path of git's own programs is kept.
    """
    environ = {
        "GIT_EXEC_PATH": "/opt/git",
        "GIT_CONFIG_COUNT": "1",
        "GIT_SSH_COMMAND": "ssh",
        "XDG_CONFIG_HOME": "/home/me/.config",
        "HOME": "/home/me",
        "PATH": "/bin",
    }

    env = isolated_environment(environ, tmp_path)

    assert not {"GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "XDG_CONFIG_HOME"} & set(env)
    assert (env["GIT_EXEC_PATH"], env["PATH"], env["HOME"]) == ("/opt/git", "/bin", str(tmp_path))
    assert env["GIT_CONFIG_GLOBAL"] == os.devnull


def test_a_linked_worktree_shares_the_directory_of_its_repository(
    env: dict[str, str], tmp_path: Path
) -> None:
    """
    The objects of a linked worktree are in the git directory of the repository.
    """
    repo = Repository(tmp_path / "repo", env)
    repo.commit()
    repo.git("worktree", "add", "--quiet", "--detach", tmp_path / "linked")

    assert shared_dir(repo.path / ".git") == repo.path / ".git"
    assert shared_dir(repo.path / ".git/worktrees/linked") == repo.path / ".git"
    assert shared_dir(tmp_path / "none") == tmp_path / "none"
