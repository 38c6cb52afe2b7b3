"""Ports of loopback for programs that have to be told one."""

from __future__ import annotations

import secrets
import socket

__all__ = ["free_port"]

_LOWEST, _HIGHEST = 12_000, 32_000
"""Below those that Linux gives to clients, and to servers that ask for any
(`net.ipv4.ip_local_port_range`): a port of these may be taken by anybody before it is used."""

_ATTEMPTS = 100


def free_port() -> int:
    """
    Return a port on which nobody listens, and on which nobody will by accident.
    """
    for _ in range(_ATTEMPTS):
        # Not `random`, which has the same seed in each process of a run.
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                for one in (tcp, udp):
                    one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of loopback is free")
