"""Who made an engine object: the session's id, and how to tell that it is dead."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field

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
            labels.PID: f"{socket.gethostname()}:{os.getpid()}",
            labels.CREATED: str(int(time.time())),
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
    on another machine and cannot be asked.
    """
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
