"""Machine-wide locks, with which one process does a job once while the others wait."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EngineError
from ..text.printable import printable
from ..unpatched import clock

__all__ = ["machine_lock"]


@contextmanager
def machine_lock(path: Path, what: str, report: Callable[[str], None]) -> Iterator[None]:
    """
    Hold the lock file *path*. The system releases the lock if this process dies.

    Args:
        path: the lock file; its directory is created.
        what: the job, for the message of waiting processes.
        report: takes one line that names the holder, if the lock is not free.
    """
    from filelock import FileLock, Timeout

    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        _sign(holder)
    except Timeout:
        report(f"waiting for {_read(holder)} to finish {what} (lock {path})")
        lock.acquire()
        _sign(holder)
    except OSError as error:
        lock.release()
        raise EngineError(
            f"the lock for {what} cannot be acquired: {path}: {error.strerror}; make that "
            "directory writable, or choose another one with XDG_CACHE_HOME"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _sign(holder: Path) -> None:
    # Without arguments, which may contain secrets.
    program = printable(Path(sys.argv[0]).name)
    text = (
        f"process {os.getpid()} ({program}, since {time.strftime('%H:%M:%S', clock.local_time())})"
    )
    with suppress(OSError):
        holder.write_text(text, encoding="utf-8", errors="replace")


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"
