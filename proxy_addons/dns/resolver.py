"""
The workspaces' resolver: knows the proxy and nothing else, and notes who
asked for what.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from pytest_codex_workspace.network.hosts import is_private
from pytest_codex_workspace.network.policy import (
    Decision,
    RequestFacts,
    decide,
)

from ..state.limits import DNS_CONNECTIONS
from .messages import FORMAT_ERROR, NO_ERROR, NO_SUCH_NAME, REFUSED, A, answer, parse
from .tcp import Streams

if TYPE_CHECKING:
    from ..state.connections import Registry, Workspace

__all__ = ["Resolver"]

_OWN_NAME = "proxy"
_LOOPBACK = "localhost"
_REVERSE = ".in-addr.arpa"
_PORT = 53
_SAME_LOOKUP = 1.0
"""Seconds within which asking again for a name (A and AAAA, a retry) is one look-up."""

_REMEMBERED = 1000
_RECEIVED = 1 << 20
"""Bytes of look-ups that may wait for the proxy; the kernel may allow fewer."""

_CROWDED = (
    f"This workspace had {DNS_CONNECTIONS} connections for look-ups open, which is as many as it "
    "may; further ones were closed. This is logged once until half of them are gone."
)

Record = Callable[[str, str, RequestFacts, Decision], None]


class Resolver:
    """
    Answers on UDP and TCP.

    Args:
        registry: knows the workspaces.
        address: what the name `proxy` means.
        record: takes workspace, phase, facts and decision of each look-up.
    """

    def __init__(self, registry: Registry, address: str, record: Record) -> None:
        self._registry = registry
        self._address = address
        self._record = record
        self._recent: dict[tuple[str, str], float] = {}
        self.streams = Streams(registry, self.reply, self._crowded)
        self.expected: dict[tuple[str, int], Callable[[], None]] = {}

    async def listen(self, host: str, port: int) -> None:
        """
        Serve until the program ends.

        Raises:
            OSError: the port cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(host, port)
        )
        taken = self._transport.get_extra_info("socket")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        self._server = await asyncio.start_server(self.streams.serve, host, port)

    def reply(self, message: bytes, peer: str) -> bytes | None:
        """
        The answer to *message* from the address *peer*, `None` for silence.
        """
        question = parse(message)
        if question is None:
            return None
        if not question.name:
            return answer(question, FORMAT_ERROR)
        if question.name == _OWN_NAME:
            return answer(question, NO_ERROR, self._address if question.kind == A else None)
        if question.name == _LOOPBACK:
            # The workspace's hosts file has it, for IPv4; those who ask for IPv6 end up here.
            return answer(question, NO_ERROR, "127.0.0.1" if question.kind == A else None)
        workspace = self._registry.workspace(peer)
        if question.name.endswith("." + _OWN_NAME) or self._is_private_reverse(question.name):
            return answer(question, NO_SUCH_NAME)
        if workspace is not None:
            self._note(workspace, question.name)
        return answer(question, REFUSED)

    def _crowded(self, workspace: Workspace) -> None:
        facts = RequestFacts(_OWN_NAME, method="DNS", scheme="dns", port=_PORT, encrypted=False)
        decision = Decision("failed", None, _CROWDED)
        self._record(workspace.id, workspace.phase, facts, decision)

    def _note(self, workspace: Workspace, name: str) -> None:
        now = time.monotonic()
        key = workspace.id, name
        last = self._recent.pop(key, -_SAME_LOOKUP)
        self._recent[key] = now
        if now - last < _SAME_LOOKUP:
            return
        while len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]
        facts = RequestFacts(host=name, method="DNS", scheme="dns", port=_PORT, encrypted=False)
        self._record(workspace.id, workspace.phase, facts, decide(facts, workspace.policy))

    def _is_private_reverse(self, name: str) -> bool:
        """
        Whether a name stands for a private address. Programs ask for that of
        their own, which is no attempt to reach anything.
        """
        if not name.endswith(_REVERSE):
            return False
        octets = name.removesuffix(_REVERSE).split(".")
        try:
            address = ipaddress.IPv4Address(".".join(reversed(octets)))
            return is_private(address, refuse=self._registry.policy.refuse)
        except ValueError:
            return False


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if arrived := self._resolver.expected.pop(addr[:2], None):
            arrived()
        elif reply := self._resolver.reply(data, addr[0]):
            self._transport.sendto(reply, addr)
