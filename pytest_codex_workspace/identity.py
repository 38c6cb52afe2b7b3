"""Who made an engine object: the session's id, and how to tell that it is dead."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import labels

__all__ = ["Identity", "owner_is_gone"]


@dataclass(frozen=True, slots=True)
class Identity:
    """
    One session, that is one process that uses an engine.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(4))

    def labels(self, kind: str, **more: str) -> dict[str, str]:
        """
        The labels of an object of *kind* that this session makes.
        """
        return {
            labels.SESSION: self.id,
            labels.KIND: kind,
            labels.PID: _owner(),
            labels.CREATED: labels.now(),
            **more,
        }

    def name(self, kind: str) -> str:
        """
        A new name for an object of *kind*.
        """
        return f"codex-workspace-{self.id}-{kind}-{secrets.token_hex(3)}"


def owner_is_gone(owner: str) -> bool | None:
    """
    Whether the session that a `pid` label names has ended; `None` when it ran
    where it cannot be asked: on another machine, before a restart, or in a
    container with processes of its own.
    """
    place, _, rest = owner.partition(":")
    started, _, pid = rest.partition(":")
    if place != _place() or not pid.isdecimal():
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started != _started(int(pid))


def _owner() -> str:
    pid = os.getpid()
    return f"{_place()}:{_started(pid)}:{pid}"


def _place() -> str:
    """
    Where process ids mean the same: machine, boot, and namespace.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(Path("/proc/self/ns/pid").readlink().name)
    return "/".join(parts).replace(":", "-")


def _started(pid: int) -> str:
    """
    When a process started, in ticks, to tell it from a later one of its id.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # The name, in brackets, may hold anything.
    return stat.rpartition(b")")[2].split()[19].decode("ascii")
