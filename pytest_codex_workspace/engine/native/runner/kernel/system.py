"""System calls that Python has no function for, with the system's message in their errors."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "NEW_CGROUP",
    "NEW_IPC",
    "NEW_NET",
    "NEW_NS",
    "NEW_PID",
    "NEW_USER",
    "NEW_UTS",
    "call",
    "enter",
    "in_network",
    "is_mapped",
    "mount",
    "pivot_root",
    "prctl",
    "sethostname",
    "unmount",
    "unshare",
]

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000

_DETACH = 2
_EVERY_ID = ["0", "0", "4294967295"]

_NUMBERS = {
    "x86_64": {"pivot_root": 155, "keyctl": 250, "capset": 126, "seccomp": 317, "pidfd_getfd": 438},
    "aarch64": {"pivot_root": 41, "keyctl": 219, "capset": 91, "seccomp": 277, "pidfd_getfd": 438},
}

_libc = ctypes.CDLL(None, use_errno=True)


def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    """
    Mount *source* on *target*.

    Raises:
        OSError: the kernel refused.
    """
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        os.fsencode(data) if data else None,
    )
    _check(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """
    Detach what is mounted on *target*.

    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.umount2(os.fsencode(target), _DETACH), f"unmount {target}")


def unshare(flags: int) -> None:
    """
    Move this process into new namespaces.

    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.unshare(flags), "make namespaces")


def enter(namespace: int) -> None:
    """
    Move this process into the namespace that the descriptor stands for.

    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.setns(namespace, 0), "enter a namespace")


def pivot_root(root: str, old: str) -> None:
    """
    Make *root* the root of the mount namespace, and put the old one on *old*.

    Raises:
        OSError: the kernel refused.
    """
    call("pivot_root", os.fsencode(root), os.fsencode(old))


def prctl(option: int, *arguments: int, allow: bool = False) -> int:
    """
    Return what prctl(2) returns; with *allow*, also if it fails.

    Raises:
        OSError: the kernel refused.
    """
    padded = [ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]
    result: int = _libc.prctl(option, *padded)
    if not allow:
        _check(result, f"set the option {option} of the process")
    return result


def sethostname(name: str) -> None:
    """
    Set the name of this UTS namespace.

    Raises:
        OSError: the kernel refused.
    """
    text = name.encode()
    _check(_libc.sethostname(text, len(text)), "set the host name")


def call(name: str, *arguments: object) -> int:
    """
    Make the system call *name* by its number.

    Raises:
        OSError: the kernel refused.
    """
    number = _NUMBERS[platform.machine()][name]
    wrapped = [ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *wrapped)
    return _check(result, name.replace("_", " "))


@contextmanager
def in_network(namespace: int) -> Iterator[None]:
    """
    Be in another network namespace for the time of the block.

    Raises:
        OSError: the kernel refused.
    """
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(namespace)
        try:
            yield
        finally:
            enter(own)
    finally:
        os.close(own)


def is_mapped() -> bool:
    """
    Return whether this process is in a user namespace, whose ids stand for others of the machine.
    """
    with open("/proc/self/uid_map") as file:
        return file.readline().split() != _EVERY_ID


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
