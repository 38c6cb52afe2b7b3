"""Which process is meant: a number, and when that process began."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["is_alive", "mark", "members", "open_process"]


def mark(process: int) -> tuple[int, str]:
    """
    Return what names a process for as long as the machine runs; its second part is empty if there
    is none.
    """
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return process, ""
    # A process that has ended, but was not waited for, is none.
    return process, "" if fields[0] == b"Z" else fields[19].decode()


def is_alive(process: Sequence[int | str]) -> bool:
    """
    Return whether a process that `mark` has named runs.
    """
    number, began = int(process[0]), str(process[1])
    return bool(began) and mark(number)[1] == began


def open_process(process: Sequence[int | str]) -> int | None:
    """
    Return a descriptor of a process that `mark` has named; `None` if it has ended.
    """
    try:
        descriptor = os.pidfd_open(int(process[0]))
    except OSError:
        return None
    if is_alive(process):
        return descriptor
    os.close(descriptor)
    return None


def members(first: int) -> list[int]:
    """
    Return the processes in the process namespace of *first*.
    """
    found = []
    try:
        wanted = os.readlink(f"/proc/{first}/ns/pid")
    except OSError:
        return []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == wanted:
                    found.append(int(name))
            except OSError:
                continue
    return found
