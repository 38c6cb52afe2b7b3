"""
The time for deadlines and for what is kept between runs.

Tests freeze and shift the time of Python: freezegun replaces the functions of `time` in every
module, time-machine replaces what these functions run. A frozen deadline never passes, and a cache
that is used in the year 2045 looks too old for ever. So the system's C library is asked here, and
nobody else in this package may ask `time` or `datetime`.
"""

from __future__ import annotations

import ctypes
import time

__all__ = ["date_today", "local_time", "monotonic", "sleep", "wall_time"]

_REALTIME = 0
"""Its number on Linux, macOS and the BSDs."""

_MONOTONIC = getattr(time, "CLOCK_MONOTONIC", 1)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_clock_gettime = ctypes.CDLL(None).clock_gettime

_sleep = (time.sleep,)
"""In a tuple, in which nobody looks for functions of `time` to replace them."""


def wall_time() -> float:
    """
    Return the seconds since the epoch.
    """
    return _read(_REALTIME)


def monotonic() -> float:
    """
    Return the seconds of a clock that nobody sets.
    """
    return _read(_MONOTONIC)


def sleep(seconds: float) -> None:
    """
    Wait.
    """
    _sleep[0](seconds)


def date_today() -> str:
    """
    Return today's date in UTC, as `2026-11-29`.
    """
    return time.strftime("%Y-%m-%d", time.gmtime(wall_time()))


def local_time() -> time.struct_time:
    """
    Return the local time of now.
    """
    return time.localtime(wall_time())


def _read(number: int) -> float:
    found = _Timespec()
    _clock_gettime(number, ctypes.byref(found))
    return float(found.seconds + found.nanoseconds / 1e9)
