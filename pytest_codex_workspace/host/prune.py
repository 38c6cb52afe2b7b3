"""Removal of what is no longer used in the cache directory of this machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["prune_cache_dir"]

_LOCK_AGE = 7 * 24 * 3600.0
_ANSWER_AGE = 90 * 24 * 3600.0
_RUN_AGE = 24 * 3600.0


def prune_cache_dir(directory: Path) -> list[Path]:
    """
    Remove locks that nobody holds and nobody took for a week, what was remembered about images
    three months ago, and about runs a day ago. Nothing fails.

    Ages are compared with the newest file beside each, because a test may have changed
    this process's clock.

    Returns:
        The removed files.
    """
    removed = [path for path in _older(directory / "locks", "*.lock", _LOCK_AGE) if _unlock(path)]
    for name, pattern, age in (
        ("registries", "*.json", _ANSWER_AGE),
        ("origins", "*.json", _ANSWER_AGE),
        ("layers", "*.json", _ANSWER_AGE),
        ("told", "*", _RUN_AGE),
    ):
        for path in _older(directory / name, pattern, age):
            with suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _older(directory: Path, pattern: str, age: float) -> list[Path]:
    times: dict[Path, float] = {}
    for path in directory.glob(pattern):
        with suppress(OSError):
            # A lock is as old as its last holder.
            signed = path.with_suffix(".holder")
            times[path] = max(one.stat().st_mtime for one in (path, signed) if one.exists())
    newest = max(times.values(), default=0.0)
    return [path for path, changed in times.items() if newest - changed > age]


def _unlock(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return False
    try:
        path.unlink()
        path.with_suffix(".holder").unlink(missing_ok=True)
    except OSError:
        return False
    else:
        return True
    finally:
        lock.release()
