"""
Where connections may lead: judged when a name is resolved, by the very
addresses that are then connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_codex_workspace.network.hosts import is_private, literal_address
from pytest_codex_workspace.network.policy import decide

from .lookups import Lookups

if TYPE_CHECKING:
    from mitmproxy.proxy import server_hooks

    from pytest_codex_workspace.network.policy import (
        RequestFacts,
    )

    from ..state.connections import Conversation, Registry

__all__ = ["AddressGuard", "GuardedEventLoop", "connected_networks"]

logger = logging.getLogger(__name__)

_connecting: ContextVar[tuple[Conversation, RequestFacts] | Literal["upstream"] | None] = (
    ContextVar("_connecting", default=None)
)


class GuardedEventLoop(asyncio.SelectorEventLoop):
    """
    An event loop that resolves names for approved connections only, and to
    addresses only that these may lead to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lookups = Lookups()

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """
        As the base class, without the addresses that are refused.

        Raises:
            OSError: none is left, or nobody may ask.
        """
        connecting = _connecting.get()
        if connecting is None:
            raise PermissionError(f"{host!r} is looked up for no approved connection")
        lookup = super().getaddrinfo(host, port, **options)
        if connecting == "upstream":
            return await self.lookups.run("upstream", lookup)
        conversation, facts = connecting
        found = await self.lookups.run(conversation.workspace.address, lookup)
        policy = conversation.workspace.policy
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))
        decision = decide(replace(facts, addresses=addresses), policy)
        if not decision.allowed:
            conversation.refused[facts.host, facts.port] = decision
            raise PermissionError(decision.explanation)
        return [
            info for info in found if not is_private(str(info[4][0]), policy.private, policy.refuse)
        ]


class AddressGuard:
    """
    Lets connections lead only where a request was approved for. An addon.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """
        Refuse what was not approved; a literal address is never resolved,
        so it is judged here.
        """
        try:
            data.server.error = self._objection(data)
        except Exception:
            logger.exception("a connection could not be judged and is refused")
            data.server.error = "it could not be judged"

    def _objection(self, data: server_hooks.ServerConnectionHookData) -> str | None:
        conversation = self._registry.conversation(data.client)
        if conversation is None or data.server.address is None:
            return "nobody asked for it"
        target = data.server.address[0], data.server.address[1]
        facts = conversation.approved.get(target)
        if facts is None or data.server.via is not None:
            return "it was not approved"
        if target == self._registry.upstream:
            # The upstream proxy may well have a private address; its targets may not.
            _connecting.set("upstream")
            return None
        literal = literal_address(target[0])
        policy = conversation.workspace.policy
        if literal is not None and is_private(literal, policy.private, policy.refuse):
            return f"{target[0]} is a private address"
        _connecting.set((conversation, facts))
        return None


def connected_networks(routes: Path = Path("/proc/net/route")) -> list[str]:
    """
    The IPv4 networks this machine is part of: the engine's own, in the proxy
    container. They are not private ranges on every engine.
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
