"""This machine's own addresses, which no workspace may reach."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

__all__ = ["own_addresses"]

# A trie of every route; each local address is a leaf, and the next line says so.
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def own_addresses(proc: Path = Path("/proc/net")) -> tuple[str, ...]:
    """
    The addresses of this machine's interfaces, as Linux lists them; empty on
    other systems, where an engine's containers are in a virtual machine and
    this machine has private addresses for them.
    """
    found = set(_LOCAL.findall(_read(proc / "fib_trie")))
    for line in _read(proc / "if_inet6").splitlines():
        found.add(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
    return tuple(sorted(found))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
