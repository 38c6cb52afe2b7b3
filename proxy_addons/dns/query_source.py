"""
Where a query comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["QuerySource"]


@dataclass(frozen=True, slots=True)
class QuerySource:
    """
    The socket that a query comes from.

    Attributes:
        protocol: `tcp` or `udp`.
        client: address and port of the workspace.
        server: our own.
        is_open: checks that nobody else can have got the port since the query came. Of a datagram,
            nobody can tell.
    """

    protocol: str
    client: tuple[str, int]
    server: tuple[str, int]
    is_open: Callable[[], bool] = lambda: True
