"""Machine-wide locks: what is made once is made by one process while the others wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import EngineError

__all__ = ["machine_lock"]


@contextmanager
def machine_lock(path: Path, what: str, report: Callable[[str], None]) -> Iterator[None]:
    """
    Hold the lock file *path*. The system frees it when its holder dies.

    Args:
        path: the lock file; its directory is made.
        what: what is being made, for the message of those who wait.
        report: told once, if the lock is not free, who holds it.
    """
    from filelock import FileLock, Timeout

    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        holder.write_text(str(os.getpid()), encoding="ascii")
    except Timeout:
        report(f"waiting for process {_read(holder)} to finish {what} (lock {path})")
        lock.acquire()
    except OSError as error:
        lock.release()
        raise EngineError(
            f"the lock for {what} cannot be taken: {path}: {error.strerror}; make room there, or "
            "name another place with XDG_CACHE_HOME"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="ascii") or "?"
    except OSError:
        return "?"
