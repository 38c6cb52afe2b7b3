"""
Which addresses connections may lead to: judged when a name is resolved, by the very
addresses that are then connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_codex_workspace.network.rules.hosts import is_private, literal_address
from pytest_codex_workspace.network.rules.policy import decide

from .lookups import LookupLimiter

if TYPE_CHECKING:
    from mitmproxy.proxy import server_hooks

    from pytest_codex_workspace.network.rules.policy import RequestFacts

    from ..state.connections import ConnectionRegistry, WorkspaceConnection

__all__ = ["AddressGuard", "GuardedEventLoop", "connected_networks"]

logger = logging.getLogger(__name__)

_ACCEPTED_AT_ONCE = 8
_QUEUE = 1024
"""Connections that may wait to be accepted; the kernel may allow fewer."""

_connecting: ContextVar[tuple[WorkspaceConnection, RequestFacts] | Literal["upstream"] | None] = (
    ContextVar("_connecting", default=None)
)


class GuardedEventLoop(asyncio.SelectorEventLoop):
    """
    An event loop that resolves names only for approved connections, and only to allowed addresses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lookups = LookupLimiter()

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """
        Listen as the base class does, with a longer queue, and accept fewer at a time.

        Where the queue is full, the kernel lets a client believe that it is connected, and tries
        again after seconds: what was sent first would arrive last, and other workspaces wait.
        They wait as well while a hundred connections, as many as by default, are accepted at once.
        """
        server = await super().create_server(*args, **{**options, "backlog": _ACCEPTED_AT_ONCE})
        for each in server.sockets:
            with socket.socket(fileno=os.dup(each.fileno())) as same:
                same.listen(_QUEUE)
        return server

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """
        Resolve a name as the base class does, without the refused addresses.

        Raises:
            OSError: no address is left, or the connection was not approved.
        """
        connecting = _connecting.get()
        if connecting is None:
            raise PermissionError(f"{host!r} is looked up without an approved connection")
        lookup = super().getaddrinfo(host, port, **options)
        if connecting == "upstream":
            return await self.lookups.run("upstream", lookup)
        connection, facts = connecting
        found = await self.lookups.run(connection.workspace.id, lookup)
        policy = connection.workspace.policy
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))
        decision = decide(replace(facts, addresses=addresses), policy)
        if not decision.allowed:
            connection.refused[facts.host, facts.port] = decision
            raise PermissionError(decision.explanation)
        return [
            info for info in found if not is_private(str(info[4][0]), policy.private, policy.refuse)
        ]


class AddressGuard:
    """
    Refuse connections to targets that no request was approved for. An addon.
    """

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """
        Refuse a connection that was not approved.

        A literal address is never resolved, so it is judged here.
        """
        try:
            data.server.error = self._error(data)
        except Exception:
            logger.exception("a connection is refused because judging it failed")
            data.server.error = "judging it failed"

    def _error(self, data: server_hooks.ServerConnectionHookData) -> str | None:
        connection = self._registry.connection(data.client)
        if connection is None or data.server.address is None:
            return "no workspace asked for it"
        target = data.server.address[0], data.server.address[1]
        facts = connection.approved.get(target)
        if facts is None or data.server.via is not None:
            return "it was not approved"
        if target == self._registry.upstream:
            # The upstream proxy may have a private address, but its targets may not.
            _connecting.set("upstream")
            return None
        literal = literal_address(target[0])
        policy = connection.workspace.policy
        if literal is not None and is_private(literal, policy.private, policy.refuse):
            return f"{target[0]} is a private address"
        _connecting.set((connection, facts))
        return None


def connected_networks(routes: Path = Path("/proc/net/route")) -> list[str]:
    """
    Return the IPv4 networks that this machine is connected to.

    In the proxy container these are the engine's own, which are not private ranges on every
    engine.
    """
    networks = []
    try:
        lines = routes.read_text("ascii").splitlines()[1:]
    except OSError:
        return []
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or fields[2] != "00000000" or fields[7] == "00000000":
            continue
        address, mask = (socket.inet_ntoa(int(fields[i], 16).to_bytes(4, "little")) for i in (1, 7))
        networks.append(str(ipaddress.IPv4Network(f"{address}/{mask}")))
    return networks
