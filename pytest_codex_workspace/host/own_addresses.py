"""Find this machine's own addresses, which no workspace may reach."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

__all__ = ["own_addresses"]

# The file shows a trie of all routes; a local address is a leaf followed by this line.
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def own_addresses(proc: Path = Path("/proc/net")) -> tuple[str, ...]:
    """
    Return the addresses of this machine's interfaces, as Linux lists them.

    Returns an empty tuple on other systems: there, containers run in a virtual
    machine that reaches this machine by private addresses only.
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
