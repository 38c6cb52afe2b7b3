"""What one workspace may use of its engine's machine, and whether it had too little."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..engine.protocol import Engine
from ..text.phrases import counted
from ..text.units import show_size

__all__ = ["UNLIMITED", "Limits", "MemoryWatch", "limits_of"]

_COUNTERS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)
"""Files in which the kernel counts the processes that it has killed, by version of cgroups."""

_KILLED = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The limits of a container; `None` means that there is none.

    Attributes:
        cpus: number of processors.
        memory: bytes, swap included.
    """

    cpus: float | None = None
    memory: int | None = None


UNLIMITED = Limits()


def limits_of(
    engine: Engine,
    cpus: float,
    memory: int,
    note: Callable[[str], None],
    *,
    tells_less: bool = False,
) -> Limits:
    """
    Return the limits of workspaces on *engine*: those asked for, as far as its machine has
    that much and it can limit it at all.

    Args:
        engine: runs the workspaces.
        cpus: number of processors; 0 for no limit.
        memory: bytes; 0 for no limit.
        note: takes a line for each limit that the engine cannot keep.
        tells_less: also say if the machine has less than Codex's.
    """
    have = engine.capacity
    if tells_less and cpus and 0 < (have.cpus or cpus) < cpus:
        note(f"the engine's machine has {counted(have.cpus, 'processor')}, not {cpus:g}")
    if tells_less and memory and 0 < (have.memory or memory) < memory:
        note(
            f"the engine's machine has {show_size(have.memory)} of memory, not "
            f"{show_size(memory)}: what fits into a workspace of Codex may not fit here"
        )
    if cpus and not have.limits_cpus:
        note("this engine cannot limit processors, so workspaces may use all of them")
    if memory and not have.limits_memory:
        note(
            "this engine cannot limit memory, so a workspace may use all of it "
            f"(asked for: {show_size(memory)})"
        )
    # A limit above what the machine has is refused by engines, and would change nothing.
    limited = cpus and have.limits_cpus and (not have.cpus or cpus < have.cpus)
    return Limits(
        cpus if limited else None,
        min(memory, have.memory or memory) if memory and have.limits_memory else None,
    )


class MemoryWatch:
    """
    Notices that the kernel has killed processes of a workspace for their memory.

    Args:
        read: returns the content of a file of the workspace.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._path: str | None = None
        self._known = 0

    def grew(self) -> bool:
        """
        Return whether a process was killed since the last call. It may have been any process
        of the workspace.
        """
        for path in (self._path,) if self._path is not None else _COUNTERS:
            try:
                found = _KILLED.search(self._read(path))
            except OSError:
                continue
            self._path = path
            count = int(found[1]) if found else 0
            grew, self._known = count > self._known, count
            return grew
        self._path = ""
        return False
