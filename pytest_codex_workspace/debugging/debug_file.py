"""The file of `--codex-debug`: a handler of `logging` whose file is private and bounded."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..text.loggers import TOP, clean, one_line
from ..text.units import show_size
from ..unpatched import clock

__all__ = ["FIRST_LINE", "LIMIT", "DebugFile", "is_debug_log"]

FIRST_LINE = "codex-workspace debug log"
"""By which a debug log is known: no other file is overwritten, or packed into a report."""

LIMIT = 32 << 20
"""Bytes of a file. When it is full, the older half of its lines is left out."""

# In a tuple, in which nobody looks for functions of `os` to replace them, as pyfakefs does.
_os: tuple[Callable[..., Any], ...] = (os.write, os.pread, os.ftruncate)


class DebugFile(logging.Handler):
    """
    Writes records to a file, each as a whole line at once, so that nothing is lost with a process
    that is killed.

    The file has mode 0600. Its first page stays when older lines are left out. A file that another
    process is writing is left to that process: this one then writes `FILE.PID`.

    Args:
        path: the file. An older debug log is overwritten.
        limit: the most bytes that it may have.
        continues: whether this process has written it before, and adds to it.

    Raises:
        ConfigError: the file cannot be written, or is not a debug log.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT, continues: bool = False) -> None:
        super().__init__(logging.DEBUG)
        self.path = path
        self._limit = limit
        self._first_page = 0
        self._size = 0
        self._file: int | None = _open(path)
        if not _take(self._file):
            os.close(self._file)
            self.path = path.with_name(f"{path.name}.{os.getpid()}")
            self._file = _open(self.path)
            _take(self._file)
        if continues and os.fstat(self._file).st_size:
            self._size = os.fstat(self._file).st_size
            self._first_page = len(f"{FIRST_LINE}\n")
            return
        os.ftruncate(self._file, 0)
        self.add_to_first_page(FIRST_LINE)

    def add_to_first_page(self, line: str) -> None:
        """
        Write a line that stays, with all that is before it.
        """
        with self._guarded():
            self._write(f"{clean(line)}\n")
            self._first_page = self._size

    def emit(self, record: logging.LogRecord) -> None:
        """
        Write a record as one line.
        """
        # The handler's lock is held.
        now = clock.wall_time()
        when = time.strftime("%H:%M:%S", time.gmtime(now))
        name = record.name.removeprefix(f"{TOP}.")
        self._write(
            f"{when}.{int(now % 1 * 1000):03d}Z {one_line(str(record.threadName))} "
            f"{record.levelname} {name}: {record.getMessage()}\n"
        )

    def close(self) -> None:
        """
        Close the file.
        """
        with self._guarded():
            if self._file is not None:
                os.close(self._file)
                self._file = None
        super().close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _write(self, text: str) -> None:
        if self._file is None:
            return
        data = text.encode("utf-8", "backslashreplace")
        # Nobody is told of an error: the log is for somebody who has another one.
        with suppress(OSError):
            if self._first_page and self._size + len(data) > self._limit:
                self._make_room()
            self._size += _os[0](self._file, data)

    def _make_room(self) -> None:
        """
        Leave out the older half of the lines after the first page.
        """
        write, read, truncate = _os
        start = max(self._first_page, self._size // 2)
        kept = read(self._file, self._size - start, start).partition(b"\n")[2]
        left_out = self._size - self._first_page - len(kept)
        truncate(self._file, self._first_page)
        mark = f"... the log was full: {show_size(left_out)} left out here ...\n".encode()
        self._size = self._first_page + write(self._file, mark + kept)


def is_debug_log(path: Path) -> bool:
    """
    Return whether a file is a debug log.

    Raises:
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        # Who opens a pipe waits for somebody who writes into it.
        return False
    with path.open("rb") as file:
        return file.readline(len(FIRST_LINE) + 1).strip() == FIRST_LINE.encode()


def _open(path: Path) -> int:
    what = f"the debug log {path} cannot be written"
    try:
        # A link may be of a repository, or of somebody who shares the directory.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        file = os.open(path, flags, 0o600)
    except OSError as error:
        said = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise ConfigError(
            f"{what}: {said}", remedy="Give a file in a directory that you can write to."
        ) from None
    try:
        state = os.fstat(file)
        start = os.pread(file, len(FIRST_LINE) + 1, 0) if stat.S_ISREG(state.st_mode) else b"?"
        if start and start.strip() != FIRST_LINE.encode():
            raise ConfigError(
                f"{what}: the file is there and is not a debug log",
                remedy="Remove it, or give another file.",
            )
        # Whoever made it may have it open, and read what root writes.
        if state.st_uid != os.geteuid():
            raise ConfigError(
                f"{what}: the file belongs to another user", remedy="Give a file of your own."
            )
        os.fchmod(file, 0o600)
    except OSError as error:
        os.close(file)
        raise ConfigError(f"{what}: {error.strerror}", remedy="Give a file of your own.") from None
    except ConfigError:
        os.close(file)
        raise
    return file


def _take(file: int) -> bool:
    """
    Return whether no other process writes *file*.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some file systems have no locks.
        return True
    return True
