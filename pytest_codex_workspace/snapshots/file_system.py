"""How the files of a whole workspace differ from those of an image."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ChangesError
from .changes import FileChange
from .commands import LARGEST_NUMBER, LONGEST_PATH, ask, error_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .commands import Commands, Said

__all__ = [
    "MOST_PATHS",
    "About",
    "described",
    "file_changes",
    "recent_paths",
    "started_at",
    "unlisted",
]

MOST_PATHS = 50_000
"""How many paths are compared."""

About = tuple[int, int, int, int, int, str]
"""Type, permissions, owner, group, size, and the content or what stands for it."""


def started_at(commands: Commands) -> int:
    """
    Return when a container was started, by the clock of its files, in nanoseconds.

    Raises:
        ChangesError: Python in it answers something else.
    """
    result = _ask(commands, {})
    try:
        said = json.loads(result.stdout_bytes)
        if _is_number(said):
            return int(said)
    except (ValueError, RecursionError):
        pass
    raise _unusable("the workspace", result)


def recent_paths(commands: Commands, since: int, where: str) -> list[str]:
    """
    Return up to `MOST_PATHS` and one more paths that have changed in a container since a time.

    Args:
        commands: runs programs in it.
        since: the time, by the clock of its files, in nanoseconds.
        where: the container, for errors.

    Raises:
        ChangesError: Python in it answers something else.
        ExecTimeout: it takes more than ten minutes.
    """
    result = _ask(commands, {"since": since, "most": MOST_PATHS})
    try:
        said = json.loads(result.stdout_bytes)
        if isinstance(said, list) and all(_is_path(one) for one in said[: MOST_PATHS + 1]):
            return said[: MOST_PATHS + 1]
    except (ValueError, RecursionError):
        pass
    raise _unusable(where, result)


def described(commands: Commands, paths: Sequence[str], where: str) -> dict[str, About]:
    """
    Return what those of *paths* that exist are, in a container.

    Args:
        commands: runs programs in it.
        paths: what is asked for; nothing else is in the answer.
        where: the container, for errors.

    Raises:
        ChangesError: Python in it answers something else.
        ExecTimeout: it takes more than ten minutes.
    """
    result = _ask(commands, {"paths": list(paths)})
    try:
        said = json.loads(result.stdout_bytes)
        return {path: _typed(said[path]) for path in paths if path in said}
    except (TypeError, ValueError, RecursionError, OverflowError):
        raise _unusable(where, result) from None


def unlisted(before: Mapping[str, About], now: Mapping[str, About]) -> set[str]:
    """
    Return the paths in directories of both descriptions that only one of them has, and that are not
    described: a file that was removed leaves no trace but in its directory.
    """
    found: set[str] = set()
    for path, new in now.items():
        old = before.get(path)
        if old is not None and stat.S_ISDIR(old[0]) and stat.S_ISDIR(new[0]) and old[5] and new[5]:
            names = set(old[5].split("/")) ^ set(new[5].split("/"))
            found.update(f"{path.rstrip('/')}/{name}" for name in names)
    return {one for one in found if one not in before and one not in now and _is_path(one)}


def file_changes(
    before: Mapping[str, About], now: Mapping[str, About], paths: Iterable[str]
) -> list[FileChange]:
    """
    Return how two descriptions differ, sorted by path. Times do not count, and a directory does not
    change with its entries. One that is gone stands for everything in it, of which a description
    has only what was written lately.
    """
    found = []
    gone: str | None = None
    for path in sorted(paths, key=lambda one: one.split("/")):
        old, new = before.get(path), now.get(path)
        if old == new or (gone and path.startswith(gone)):
            continue
        if old and stat.S_ISDIR(old[0]) and not (new and stat.S_ISDIR(new[0])):
            gone = f"{path}/"
        kind: Literal["added", "changed", "removed"] = "changed"
        if old is None or new is None:
            kind = "added" if old is None else "removed"
        elif stat.S_ISDIR(old[0]) and old[:4] == new[:4]:
            continue
        found.append(FileChange(path[:LONGEST_PATH], kind, new[4] if new else 0))
    return sorted(found, key=lambda one: one.path)


def _ask(commands: Commands, wanted: dict[str, Any]) -> Said:
    return ask(commands, "describe_files.py", stdin=json.dumps(wanted))


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < LARGEST_NUMBER


def _typed(value: Any) -> About:
    *numbers, content = value
    if len(numbers) != 5 or not isinstance(content, str):
        raise ValueError("a description of another form")
    if not all(map(_is_number, numbers)):
        raise ValueError("a description without numbers")
    kind, mode, owner, group, size = numbers
    return kind, mode, owner, group, size, content


def _unusable(where: str, result: Said) -> ChangesError:
    said = error_text(result) or f"exit code {result.exit_code}"
    return ChangesError(
        f"which files have changed cannot be told: Python did not describe them in {where}: {said}",
        remedy="See whether `python3 --version` works there.",
    )
