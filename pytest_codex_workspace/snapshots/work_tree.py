"""How the files of the project differ from the commit: git says so, in the workspace."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ChangesError
from ..text.printable import printable
from .changes import FileChange, FileChanges

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Commands", "Said", "work_tree_changes", "work_tree_patch"]

_SECONDS = 600.0
_ANSWER = 64 << 20
_MOST_PATCH = 64 << 20
_MOST_CHANGES = 10_000
_LONGEST_PATH = 4096
_LONGEST_TEXT = 4 << 20
_LARGEST_NUMBER = 1 << 62


class Said(Protocol):
    """
    What a program has printed.
    """

    @property
    def ok(self) -> bool:
        """
        Whether its exit code is 0.
        """

    @property
    def exit_code(self) -> int:
        """
        Its exit code.
        """

    @property
    def stdout_bytes(self) -> bytes:
        """
        Its standard output.
        """

    @property
    def stderr(self) -> str:
        """
        Its standard error.
        """

    @property
    def truncated(self) -> bool:
        """
        Whether it printed more.
        """


class Commands(Protocol):
    """
    Runs programs in a workspace, as its channel does.
    """

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the channel's name
        timeout: float | None = None,
        limit: int = ...,
    ) -> Said:
        """
        Run a program to its end.
        """


def work_tree_changes(commands: Commands, project: str, commit: str) -> FileChanges:
    """
    Return how the files in *project* that git does not ignore differ from *commit*.

    Raises:
        ChangesError: git in the workspace cannot tell.
        ExecTimeout: it takes more than ten minutes.
    """
    result = _ask(commands, project, commit, "list", _ANSWER)
    try:
        said = json.loads(result.stdout_bytes)
        found = [_typed(one) for one in said["changes"][:_MOST_CHANGES]]
        more = int(said["more"]) % _LARGEST_NUMBER
        cut = bool(said["cut"])
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError):
        raise _unusable(project, result) from None
    return FileChanges(found, f"the commit {commit[:12]}", more=more, truncated=cut)


def work_tree_patch(commands: Commands, project: str, commit: str) -> str:
    """
    Return the same as a patch for `git apply`.

    Raises:
        ChangesError: git in the workspace cannot tell, or the patch has more than 64 MiB.
        ExecTimeout: it takes more than ten minutes.
    """
    result = _ask(commands, project, commit, "patch", _MOST_PATCH)
    try:
        return result.stdout_bytes.decode("utf-8")
    except UnicodeDecodeError:
        raise _unusable(project, result) from None


def _ask(commands: Commands, project: str, commit: str, what: str, limit: int) -> Said:
    program = resources.files("pytest_codex_workspace.in_container") / "work_tree.py"
    words = ["python3", "-I", "-B", "-c", program.read_text("utf-8")]
    result = commands.run(
        [*words, what, project, commit, str(_MOST_PATCH)],
        cwd="/",
        timeout=_SECONDS,
        limit=limit,
    )
    if not result.ok or result.truncated:
        raise _unusable(project, result)
    return result


def _unusable(project: str, result: Said) -> ChangesError:
    said = printable(result.stderr.strip()[-1000:]) or (
        f"git or Python answered something else (exit code {result.exit_code})"
    )
    return ChangesError(
        f"what has changed in {project} cannot be told: {said}",
        remedy=f"See what `git -C {project} status` says in the workspace.",
    )


def _typed(value: Any) -> FileChange:
    """
    Return a change that the workspace has sent as a list.

    Raises:
        ValueError: it has another form.
    """
    path, kind, size, text = value
    if kind not in ("added", "changed", "removed") or type(size) is not int:
        raise ValueError("a change of no known kind")
    if not isinstance(path, str) or not isinstance(text, str):
        raise ValueError("a change of what is not text")
    size = min(max(0, size), _LARGEST_NUMBER)
    return FileChange(path[:_LONGEST_PATH], kind, size, text[:_LONGEST_TEXT])
