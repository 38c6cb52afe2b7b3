"""What root may do in a container: capabilities, as Docker's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .system import call, prctl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["DEFAULT", "allowed", "keep_only", "limit"]

_NUMBERS = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
"""The capabilities that a container may have. No other can be added."""

DEFAULT = tuple(sorted(set(_NUMBERS) - {"NET_ADMIN"}))
"""What a container has without a word about it: Docker's list."""

_VERSION = 0x20080522
_BOUND_READ, _BOUND_DROP, _AMBIENT, _AMBIENT_CLEAR = 23, 24, 47, 4


def allowed(add: Iterable[str], drop: Collection[str]) -> list[int]:
    """
    Return the numbers of the capabilities of a container.

    Raises:
        ValueError: one that is added cannot be had.
    """
    names = {*DEFAULT, *add} - set(drop)
    if unknown := sorted(names - set(_NUMBERS)):
        raise ValueError(f"the capability {unknown[0]} cannot be added to a container")
    return sorted(_NUMBERS[name] for name in names)


def limit(kept: Collection[int]) -> None:
    """
    Let no program of this process have other capabilities than *kept*, for ever.

    Raises:
        OSError: the kernel refused.
    """
    number = 0
    while prctl(_BOUND_READ, number, allow=True) >= 0:
        if number not in kept:
            prctl(_BOUND_DROP, number)
        number += 1
    prctl(_AMBIENT, _AMBIENT_CLEAR, allow=True)


def keep_only(kept: Collection[int]) -> None:
    """
    Give up all capabilities but *kept*.

    Raises:
        OSError: the kernel refused.
    """
    mask = sum(1 << number for number in kept)
    halves = (mask & 0xFFFFFFFF, mask >> 32)
    # Effective, permitted and inheritable, of the first 32 and of the others.
    sets = [word for half in halves for word in (half, half, 0)]
    call("capset", struct.pack("=II", _VERSION, 0), struct.pack("=6I", *sets))
