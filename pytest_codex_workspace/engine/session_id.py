"""The session that created an engine object, and whether that session has ended."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from . import labels

if TYPE_CHECKING:
    from .protocol import Engine

__all__ = ["Identity", "mark_of", "owner_is_gone"]


@dataclass(frozen=True, slots=True)
class Identity:
    """
    One session: a process that uses an engine.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(4))

    def labels(self, kind: str, **more: str) -> dict[str, str]:
        """
        Return the labels of an object of *kind* that this session creates.
        """
        return {
            labels.SESSION: self.id,
            labels.KIND: kind,
            labels.PID: _owner(os.getpid()),
            labels.CREATED: labels.now(),
            **more,
        }

    def name(self, kind: str) -> str:
        """
        Return a new name for an object of *kind*.
        """
        return f"codex-workspace-{self.id}-{kind}-{secrets.token_hex(3)}"


def mark_of(engine: Engine) -> str:
    """
    Return a word that tells an engine from others, for names of files: processes that use the same
    one by different addresses have the same.
    """
    about = engine.version()
    place = f"{about.get('host', '')}\0{about.get('root', '')}"
    return hashlib.sha256(place.encode()).hexdigest()[:8]


def owner_is_gone(owner: str) -> bool | None:
    """
    Check whether the session that a `pid` label names has ended. Return `None` if
    that is unknown: the session ran on another machine, before a restart, or in a
    container with its own process ids.
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


# Each object of a session has it in its labels.
@lru_cache(maxsize=1)
def _owner(pid: int) -> str:
    return f"{_place()}:{_started(pid)}:{pid}"


def _place() -> str:
    """
    Return an id of the place where process ids are unique: machine, boot and namespace.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(Path("/proc/self/ns/pid").readlink().name)
    return "/".join(parts).replace(":", "-")


def _started(pid: int) -> str:
    """
    Return the start time of a process in ticks, which distinguishes it from a later
    process with the same id.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # The process name, in parentheses, may contain anything.
    return stat.rpartition(b")")[2].split()[19].decode("ascii")
