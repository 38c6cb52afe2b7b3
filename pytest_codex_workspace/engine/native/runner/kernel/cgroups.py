"""What a container may use of the machine: groups of processes, where we may make them."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field

__all__ = ["Cgroup", "find_limits"]

_ROOT = "/sys/fs/cgroup"
_OURS = "codex-workspace"
_OLD = ("memory", "pids", "cpu", "freezer")
_PERIOD = 100_000
_END = 2.0


def _is_unified() -> bool:
    return os.path.exists(f"{_ROOT}/cgroup.controllers")


def find_limits() -> frozenset[str]:
    """
    Return what can be limited here: `memory`, `pids`, `cpu`, and `freezer` for a pause.
    """
    if _is_unified():
        if not os.access(f"{_ROOT}/cgroup.subtree_control", os.W_OK):
            return frozenset()
        with open(f"{_ROOT}/cgroup.controllers") as file:
            return frozenset({*file.read().split(), "freezer"} & set(_OLD))
    return frozenset(one for one in _OLD if os.access(f"{_ROOT}/{one}/cgroup.procs", os.W_OK))


@dataclass
class Cgroup:
    """
    The groups of one container.

    Attributes:
        name: the id of the container.
        has: what can be limited.
        unified: whether there is one hierarchy (cgroups v2). In a container, nothing shows it.
    """

    name: str
    has: frozenset[str] = field(default_factory=find_limits)
    unified: bool = field(default_factory=_is_unified)

    def _path(self, kind: str) -> str:
        above = _ROOT if self.unified else f"{_ROOT}/{kind}"
        return f"{above}/{_OURS}/{self.name}"

    def _kinds(self) -> list[str]:
        return sorted(self.has)[:1] if self.unified else sorted(self.has)

    def make(self, memory: int | None, pids: int | None, cpus: float | None) -> None:
        """
        Make the groups. What cannot be limited is not.

        Raises:
            OSError: the kernel refused a limit.
        """
        for kind in self._kinds():
            path = self._path(kind)
            if self.unified:
                self._delegate()
            os.makedirs(path, exist_ok=True)
        if "pids" in self.has and pids:
            self._set("pids", "pids.max", str(pids))
        if "memory" in self.has and memory:
            self._limit_memory(memory)
        if "cpu" in self.has and cpus:
            quota = int(cpus * _PERIOD)
            if self.unified:
                self._set("cpu", "cpu.max", f"{quota} {_PERIOD}")
            else:
                self._set("cpu", "cpu.cfs_period_us", str(_PERIOD))
                self._set("cpu", "cpu.cfs_quota_us", str(quota))

    def _limit_memory(self, memory: int) -> None:
        if self.unified:
            self._set("memory", "memory.max", str(memory))
            with contextlib.suppress(OSError):
                self._set("memory", "memory.swap.max", "0")
            return
        self._set("memory", "memory.limit_in_bytes", str(memory))
        with contextlib.suppress(OSError):
            self._set("memory", "memory.memsw.limit_in_bytes", str(memory))

    def _delegate(self) -> None:
        above = f"{_ROOT}/{_OURS}"
        os.makedirs(above, exist_ok=True)
        wanted = " ".join(f"+{one}" for one in sorted(self.has - {"freezer"}))
        for place in (_ROOT, above):
            with contextlib.suppress(OSError), open(f"{place}/cgroup.subtree_control", "w") as file:
                file.write(wanted)

    def add(self, process: int) -> None:
        """
        Put a process, and all that it starts, into the groups.

        Raises:
            OSError: the kernel refused.
        """
        for kind in self._kinds():
            self._set(kind, "cgroup.procs", str(process))

    def pause(self, *, paused: bool) -> bool:
        """
        Begin to stop every process of the groups, or let them go on. Return `False` if that cannot
        be done.
        """
        if "freezer" not in self.has:
            return False
        try:
            if self.unified:
                self._set("freezer", "cgroup.freeze", str(int(paused)))
            else:
                self._set("freezer", "freezer.state", "FROZEN" if paused else "THAWED")
        except OSError:
            return False
        return True

    def is_paused(self) -> bool:
        """
        Return whether every process has stopped since `pause`.
        """
        name, words = ("cgroup.events", "frozen 1") if self.unified else ("freezer.state", "FROZEN")
        return words in self._get("freezer", name)

    def killed_for_memory(self) -> bool:
        """
        Return whether the kernel has killed a process of the groups for its memory.
        """
        name = "memory.events" if self.unified else "memory.oom_control"
        lines = self._get("memory", name).splitlines() if "memory" in self.has else []
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)

    def remove(self) -> None:
        """
        Remove the groups. Their processes have ended, or end now.
        """
        for kind in self._kinds():
            for _ in range(int(_END / 0.01)):
                try:
                    os.rmdir(self._path(kind))
                except FileNotFoundError:
                    break
                except OSError:
                    # The last process is just ending.
                    time.sleep(0.01)
                    continue
                break

    def _set(self, kind: str, name: str, value: str) -> None:
        with open(f"{self._path(kind)}/{name}", "w") as file:
            file.write(value)

    def _get(self, kind: str, name: str) -> str:
        try:
            with open(f"{self._path(kind)}/{name}") as file:
                return file.read()
        except OSError:
            return ""
