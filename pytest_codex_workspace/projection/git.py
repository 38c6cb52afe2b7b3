"""Run git on the host: with a timeout, without prompts, and without changing repositories."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProjectionError
from ..unpatched import modules

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "GitResult",
    "configured",
    "git",
    "inside",
    "is_commit_id",
    "isolated_environment",
    "reading_environment",
    "run_git",
    "shared_dir",
]

_COMMIT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")

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
"""Variables that git sets for hooks; in a hook that runs pytest, they name the wrong repository."""

_NEVER_THERE = os.devnull + "/none"
"""A path that can never exist, and that git does not complain about."""

_READ_ONLY = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_GRAFT_FILE": _NEVER_THERE,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}

_SAFE = {"core.fsmonitor": "false", "safe.bareRepository": "explicit"}


@dataclass(frozen=True, slots=True)
class GitResult:
    """
    The result of a git command.

    Attributes:
        code: exit code.
        stdout: standard output, as bytes, since paths may be any bytes.
        stderr: standard error as text, without surrounding whitespace.
    """

    code: int
    stdout: bytes
    stderr: str


def reading_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment for reading a user's repository.

    The user's git configuration applies, since it lists the safe directories.
    Variables that point git at another repository are removed, git takes no locks
    and refreshes nothing, and it does not fetch objects that a partial clone lacks.
    A directory of the work tree that looks like a bare repository is not taken for
    one: a commit can contain it, with a configuration that names programs.

    Args:
        environ: the environment to start from.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _OF_ANOTHER_REPOSITORY and not name.startswith("GIT_TRACE")
    }
    return configured({**kept, **_READ_ONLY}, _SAFE)


def isolated_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """
    Return the environment for temporary repositories, without the host's git configuration.

    Args:
        environ: the environment to start from.
        home: a temporary directory to use as home directory.
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


def configured(env: dict[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """
    Return *env* with the values of the configuration *values* as well, which take precedence.
    """
    text = env.get("GIT_CONFIG_COUNT", "")
    count = int(text) if text.isdecimal() else 0
    for name, value in values.items():
        env |= {f"GIT_CONFIG_KEY_{count}": name, f"GIT_CONFIG_VALUE_{count}": value}
        count += 1
    return {**env, "GIT_CONFIG_COUNT": str(count)}


def is_commit_id(text: str) -> bool:
    """
    Return whether *text*, which may be anybody's, is a full commit id, and no other name of one.
    """
    return _COMMIT_ID.fullmatch(text) is not None


def inside(git_dir: Path) -> tuple[str, str]:
    """
    Return options that make git use *git_dir* only.

    They work even if the configured work tree of the repository is missing.
    """
    return f"--git-dir={git_dir}", f"--work-tree={git_dir}"


def shared_dir(git_dir: Path) -> Path:
    """
    Return the git directory that holds the objects and references of *git_dir*.

    This is *git_dir* itself, unless it belongs to a linked worktree.
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
        args: arguments of git.
        env: the complete environment of git.
        cwd: working directory.
        input: standard input of git.
        timeout: seconds after which git and its children are killed.

    Returns:
        The result, whatever the exit code.

    Raises:
        ProjectionError: git is not installed, cannot be run, or timed out.
    """
    try:
        process = modules.subprocess.Popen(
            ["git", *args],
            cwd=cwd,
            env=env,
            stdin=modules.subprocess.PIPE,
            stdout=modules.subprocess.PIPE,
            stderr=modules.subprocess.PIPE,
            process_group=0,
        )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise ProjectionError(
                f"{cwd} no longer exists", remedy="Give its current path."
            ) from None
        raise ProjectionError(
            "git is not installed, or not on PATH",
            remedy="Install git (Debian and Ubuntu: apt-get install git; macOS: "
            "xcode-select --install).",
        ) from None
    except (OSError, ValueError) as error:
        where = cwd or Path.cwd()
        raise ProjectionError(
            f"git {_subcommand(args)} cannot be run in {where}: {error}",
            remedy="Check the permissions and the arguments.",
        ) from None
    try:
        stdout, stderr = process.communicate(input, timeout)
    except BaseException as error:
        # Kill git and the processes that git has started, which are in its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, modules.subprocess.TimeoutExpired):
            raise ProjectionError(
                f"git {_subcommand(args)} did not end within {timeout:g} s and was killed",
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
    Run git and check that it succeeds.

    Args:
        args, env, cwd, input, timeout: as for `run_git`.

    Returns:
        Standard output of git.

    Raises:
        ProjectionError: as for `run_git`, or git failed; the error then contains
            git's own message.
    """
    result = run_git(*args, env=env, cwd=cwd, input=input, timeout=timeout)
    if result.code:
        said = result.stderr or f"exit code {result.code}, without a message"
        raise ProjectionError(f"git {_subcommand(args)} failed: {said}")
    return result.stdout


def _subcommand(args: tuple[str | bytes, ...]) -> str:
    """
    Return the subcommand for messages, without the options in front of it.
    """
    words = [os.fsdecode(arg) for arg in args]
    while words and words[0].startswith("-"):
        del words[: 2 if words[0] in ("-c", "-C") else 1]
    return words[0] if words else ""
