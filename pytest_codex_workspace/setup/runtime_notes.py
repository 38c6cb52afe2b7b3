"""What is said about the runtimes of an image: in one line, and once a day."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import CodexWorkspaceError
from ..host.dirs import cache_dir
from ..text.option_names import spell_option
from ..unpatched import clock

__all__ = ["RuntimeNotes", "in_one_line"]

_OTHER = re.compile(r"(\w+) has (\w+) (.+), not Codex's default ([^;]+); .*")
_NONE = re.compile(r"(\w+) has no (\w+) \(Codex's default is ([^)]+)\); .*")
"""What the selection of runtimes in an image of ours says."""

_DAY = 24 * 3600.0
_KEPT = 7 * _DAY


class RuntimeNotes:
    """
    Knows what this user has been told today.

    Where nothing can be written, the same is said once in each session.

    Args:
        identity: names the image; what differs in another image is said anew.
    """

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._said: set[str] = set()

    def new(self, lines: Sequence[str]) -> list[str]:
        """
        Return what has to be said about the lines that the selection printed.
        """
        return [line for line in in_one_line(lines) if self._is_new(line)]

    def _is_new(self, line: str) -> bool:
        if line in self._said:
            return False
        self._said.add(line)
        name = hashlib.sha256(f"{self._identity}\n{line}".encode()).hexdigest()[:24]
        try:
            directory = cache_dir() / "notes"
            told = _age(directory / name) < _DAY
            if not told:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                _forget_old(directory)
                (directory / name).write_bytes(b"")
        except (OSError, CodexWorkspaceError):
            return True
        return not told


def in_one_line(lines: Sequence[str]) -> list[str]:
    """
    Return *lines* with those about Codex's defaults joined into one.
    """
    image, parts, others = "", [], []
    for line in lines:
        if found := _OTHER.fullmatch(line):
            image = found[1]
            parts.append(f"{found[2]} {found[3]} (not {found[4]})")
        elif found := _NONE.fullmatch(line):
            image = found[1]
            parts.append(f"no {found[2]} ({found[3]})")
        else:
            others.append(line)
    if parts:
        others.append(
            f"{image} differs from Codex: {', '.join(parts)}; CODEX_ENV_*_VERSION choose, and "
            f"{spell_option('image', 'universal')} has all"
        )
    return others


def _age(path: Path) -> float:
    try:
        # A clock that was set back does not make it younger.
        return abs(clock.wall_time() - path.stat().st_mtime)
    except OSError:
        return _DAY


def _forget_old(directory: Path) -> None:
    for path in directory.iterdir():
        # Another process may do the same.
        with suppress(OSError):
            if _age(path) > _KEPT:
                path.unlink()
