"""Running git on the host: bounded, speechless, and never writing to what it reads."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ProjectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "GitResult",
    "git",
    "inside",
    "isolated_environment",
    "reading_environment",
    "run_git",
    "shared_dir",
]

_OF_ANOTHER_REPOSITORY = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_ATTR_SOURCE",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
"""Set by git for its hooks: in one that runs pytest, each would point at the wrong place."""

_NEVER_THERE = os.devnull + "/none"
"""A path that git can neither find nor complain about."""

_READ_ONLY = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_GRAFT_FILE": _NEVER_THERE,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class GitResult:
    """
    A git command that has ended.

    Attributes:
        code: its exit code.
        stdout: what it printed, as bytes: paths in it may be any.
        stderr: what it said, without surrounding blanks.
    """

    code: int
    stdout: bytes
    stderr: str


def reading_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    The environment for looking into a user's repository as that user.

    The user's configuration counts (it says which directories are safe);
    whatever points git at another repository does not, nothing is locked or
    refreshed, and objects that a partial clone lacks are not fetched.

    Args:
        environ: the environment to start from.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _OF_ANOTHER_REPOSITORY and not name.startswith("GIT_TRACE")
    }
    return {**kept, **_READ_ONLY}


def isolated_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """
    The environment for work in repositories of our own, in which no
    configuration of the host's is seen.

    Args:
        environ: the environment to start from.
        home: a directory of our own.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("GIT_", "XDG_")) or name == "GIT_EXEC_PATH"
    }
    return {
        **kept,
        **_READ_ONLY,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "HOME": str(home),
    }


def inside(git_dir: Path) -> tuple[str, str]:
    """
    Options that make git look into *git_dir* alone, even if the work tree
    that its configuration names is gone.
    """
    return f"--git-dir={git_dir}", f"--work-tree={git_dir}"


def shared_dir(git_dir: Path) -> Path:
    """
    The git directory that holds the objects and references of *git_dir*:
    itself, unless it is a linked worktree's.
    """
    try:
        common = (git_dir / "commondir").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return git_dir
    return Path(os.path.realpath(git_dir / os.fsdecode(common.rstrip(b"\r\n"))))


def run_git(
    *args: str | bytes,
    env: Mapping[str, str],
    cwd: Path | None = None,
    input: bytes = b"",  # noqa: A002
    timeout: float = 60.0,
) -> GitResult:
    """
    Run git and wait for it.

    Args:
        args: its arguments.
        env: its whole environment.
        cwd: the directory to run it in.
        input: its standard input.
        timeout: seconds after which it and its children are killed.

    Returns:
        What came of it, whatever the exit code.

    Raises:
        ProjectionError: git is not installed, or ran out of time.
    """
    try:
        process = subprocess.Popen(
            ["git", *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise ProjectionError(
                f"{cwd} is no longer there", remedy="Give the path that the directory has now."
            ) from None
        raise ProjectionError(
            "git is not installed, or not on PATH",
            remedy="Install git (Debian and Ubuntu: apt-get install git; macOS: "
            "xcode-select --install).",
        ) from None
    except (OSError, ValueError) as error:
        where = cwd or Path.cwd()
        raise ProjectionError(
            f"git {_shown(args)} cannot be run in {where}: {error}",
            remedy="Check the permissions and the arguments.",
        ) from None
    try:
        stdout, stderr = process.communicate(input, timeout)
    except BaseException as error:
        # What git has started is in its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ProjectionError(
                f"git {_shown(args)} did not end within {timeout:g} s and was killed",
                remedy=f"Run the command in {cwd or Path.cwd()} to see what it waits for.",
            ) from None
        raise
    return GitResult(process.returncode, stdout, stderr.decode("utf-8", "replace").strip())


def git(
    *args: str | bytes,
    env: Mapping[str, str],
    cwd: Path | None = None,
    input: bytes = b"",  # noqa: A002
    timeout: float = 60.0,
) -> bytes:
    """
    Run git, which has to succeed.

    Args:
        args, env, cwd, input, timeout: as for `run_git`.

    Returns:
        Its standard output.

    Raises:
        ProjectionError: as for `run_git`, or git failed; then in git's words.
    """
    result = run_git(*args, env=env, cwd=cwd, input=input, timeout=timeout)
    if result.code:
        said = result.stderr or f"exit code {result.code}, without a word"
        raise ProjectionError(f"git {_shown(args)} failed: {said}")
    return result.stdout


def _shown(args: tuple[str | bytes, ...]) -> str:
    """
    The subcommand, for messages: options and paths before it say little.
    """
    words = [os.fsdecode(arg) for arg in args]
    while words and words[0].startswith("-"):
        del words[: 2 if words[0] in ("-c", "-C") else 1]
    return words[0] if words else ""
