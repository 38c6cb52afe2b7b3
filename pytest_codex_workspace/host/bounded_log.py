"""A log file that keeps the beginning and the end of what is written, however much that is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..text.units import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BoundedLog", "prune_logs"]

_HEAD = 16 * 1024 * 1024
_TAIL = 4 * 1024 * 1024
_AGE = 7 * 24 * 3600.0
_TOTAL = 512 * 1024 * 1024
"""Bytes of all logs in a directory."""


class BoundedLog:
    """
    A log file. Where it cannot be written, what would be logged is dropped.

    The file has the first 16 MiB and the last 4 MiB; between them, a line says how much
    was left out. The end is written when the log is closed.

    Args:
        path: the file; its directory is created, and old logs in it are removed.
        report: takes a line if the log cannot be written.
    """

    def __init__(
        self, path: Path, report: Callable[[str], None], *, head: int = _HEAD, tail: int = _TAIL
    ) -> None:
        self._path = path
        self._report = report
        self._left = head
        self._limit = tail
        self._tail = bytearray()
        self._cut = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> BoundedLog:
        with self._stop_on_error():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._path.open("wb", buffering=0)
            prune_logs(self._path.parent)
        return self

    def __exit__(self, *_: object) -> None:
        with self._stop_on_error():
            if self._file is not None:
                self._trim()
                if self._cut:
                    self._file.write(_mark(self._cut))
                self._file.write(self._tail)
        if self._file is not None:
            self._file.close()

    def write(self, piece: bytes) -> None:
        """
        Add *piece*.
        """
        with self._stop_on_error():
            if self._file is None:
                return
            head, rest = piece[: self._left], piece[self._left :]
            if head:
                self._file.write(head)
                self._left -= len(head)
            self._tail += rest
            if len(self._tail) > 2 * self._limit:
                self._trim()

    def _trim(self) -> None:
        over = len(self._tail) - self._limit
        if over > 0:
            self._cut += over
            del self._tail[:over]

    @contextmanager
    def _stop_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._report(f"... logging stops here: {self._path}: {error.strerror}")
            if self._file is not None:
                self._file.close()
            self._file = None


def prune_logs(directory: Path, total: int = _TOTAL) -> None:
    """
    Remove logs that are a week older than the newest, and the oldest ones above *total* bytes.
    """
    found = []
    for path in directory.glob("*.log"):
        # Another process may be pruning, too.
        with suppress(OSError):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    kept = 0
    # Not by the clock of this process, which a test may have changed.
    newest = max((changed for changed, _, _ in found), default=0.0)
    for changed, size, path in sorted(found, reverse=True):
        kept += size
        if kept > total or newest - changed > _AGE:
            with suppress(OSError):
                path.unlink()


def _mark(cut: int) -> bytes:
    return f"\n... {show_size(cut)} left out here ...\n".encode()
