"""How the files of the project differ from the commit: git says so, in the workspace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..errors import ChangesError
from .changes import FileChange, FileChanges
from .commands import LARGEST_NUMBER, LONGEST_PATH, ask, error_text

if TYPE_CHECKING:
    from .commands import Commands, Said

__all__ = ["work_tree_changes", "work_tree_patch"]

_MOST_PATCH = 64 << 20
_MOST_CHANGES = 10_000
_LONGEST_TEXT = 4 << 20


def work_tree_changes(commands: Commands, project: str, commit: str) -> FileChanges:
    """
    Return how the files in *project* that git does not ignore differ from *commit*.

    Raises:
        ChangesError: git in the workspace cannot tell.
        ExecTimeout: it takes more than ten minutes.
    """
    result = _ask(commands, project, commit, "list")
    try:
        said = json.loads(result.stdout_bytes)
        found = [_typed(one) for one in said["changes"][:_MOST_CHANGES]]
        more = int(said["more"]) % LARGEST_NUMBER
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
    result = _ask(commands, project, commit, "patch")
    try:
        return result.stdout_bytes.decode("utf-8")
    except UnicodeDecodeError:
        raise _unusable(project, result) from None


def _ask(commands: Commands, project: str, commit: str, what: str) -> Said:
    result = ask(commands, "work_tree.py", what, project, commit, str(_MOST_PATCH))
    if not result.ok or result.truncated:
        raise _unusable(project, result)
    return result


def _unusable(project: str, result: Said) -> ChangesError:
    said = error_text(result) or (
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
    size = min(max(0, size), LARGEST_NUMBER)
    return FileChange(path[:LONGEST_PATH], kind, size, text[:_LONGEST_TEXT])
