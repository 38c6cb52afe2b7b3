"""Machine-wide locks, with which one process does a job once while the others wait."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EngineError
from ..text.loggers import logger_of
from ..text.phrases import cut_middle
from ..text.printable import printable
from ..unpatched import clock

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["machine_lock"]

_LOG = logger_of(__name__)

_HOLDER_LENGTH = 200
_DIRECTORY_LENGTH = 100
_REPORT = 300.0
_LONGEST = 4 * 3600.0
"""Seconds for which one process may hold a lock: a setup may take hours."""


@contextmanager
def machine_lock(path: Path, what: str, report: Callable[[str], None]) -> Iterator[None]:
    """
    Hold the lock file *path*. The system releases the lock if this process dies.

    Args:
        path: the lock file; its directory is created.
        what: the job, for the message of waiting processes.
        report: takes one line that names the holder, if the lock is not free; and another
            one every few minutes.

    Raises:
        EngineError: the lock cannot be created, or one process has held it for hours.
    """
    from filelock import FileLock, Timeout

    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    begun = clock.monotonic()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        _sign(holder)
    except Timeout:
        _LOG.debug("waiting for the lock %s for %s", path, what)
        report(f"waiting for {_read(holder)} to finish {what} (lock {path})")
        _acquire(lock, holder, what, report)
        _sign(holder)
    except OSError as error:
        lock.release()
        raise EngineError(
            f"the lock for {what} cannot be acquired: {path}: {error.strerror}; make that "
            "directory writable, or choose another one with XDG_CACHE_HOME"
        ) from None
    acquired = clock.monotonic()
    _LOG.debug("lock %s for %s: acquired after %d ms", path, what, (acquired - begun) * 1000)
    try:
        yield
    finally:
        lock.release()
        held = (clock.monotonic() - acquired) * 1000
        _LOG.debug("lock %s for %s: released after %d ms", path, what, held)


def _acquire(lock: FileLock, holder: Path, what: str, report: Callable[[str], None]) -> None:
    """
    Wait for a lock. Several processes may hold it in turn, each for as long as its job takes.
    """
    from filelock import Timeout

    waited, who = 0.0, _read(holder)
    while True:
        try:
            lock.acquire(timeout=_REPORT)
        except Timeout:
            now = _read(holder)
            waited, who = (waited + _REPORT if now == who else 0.0), now
            if waited >= _LONGEST:
                raise EngineError(
                    f"{who} has not finished {what} after {waited / 3600:.1f} h",
                    remedy=f"If that process hangs, end it, which frees the lock "
                    f"{lock.lock_file}. Then run again.",
                ) from None
            report(f"still waiting for {who} to finish {what}")
        else:
            return


def _sign(holder: Path) -> None:
    # Without arguments, which may contain secrets.
    program = printable(Path(sys.argv[0]).name)
    since = time.strftime("%H:%M:%S", clock.local_time())
    where = ""
    with suppress(OSError):  # The directory may be gone.
        where = f", in {cut_middle(printable(str(Path.cwd())), _DIRECTORY_LENGTH)}"
    text = f"process {os.getpid()} ({program}, since {since}{where})"
    with suppress(OSError):
        holder.write_text(text, encoding="utf-8", errors="replace")


def _read(holder: Path) -> str:
    try:
        with holder.open(encoding="utf-8", errors="replace") as file:
            return printable(file.read(_HOLDER_LENGTH)) or "another process"
    except OSError:
        return "another process"
