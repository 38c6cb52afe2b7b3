"""Ports of loopback for programs that have to be told one."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

__all__ = ["free_port"]

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The ports that Linux gives to clients, and to servers that ask for any. One of these may be taken
by anybody before it is used."""

_LOWEST, _HIGHEST = 10_000, 65_000

_ATTEMPTS = 100


def free_port() -> int:
    """
    Return a port on which nobody listens, and on which nobody will by accident.
    """
    first, last = map(int, _RANGE.read_text().split()) if _RANGE.exists() else (49_152, 65_535)
    ports = [*range(_LOWEST, first), *range(last + 1, _HIGHEST)] or range(_LOWEST, _HIGHEST)
    for _ in range(_ATTEMPTS):
        # Not `random`, which has the same seed in each process of a run.
        port = secrets.choice(ports)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                for one in (tcp, udp):
                    one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of loopback is free")
