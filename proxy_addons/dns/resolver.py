"""
The resolver of the workspaces: it knows only the name of the proxy, and logs every
look-up of another name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from pytest_codex_workspace.network.rules.hosts import is_private
from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts, decide

from ..state.limits import MAX_DNS_CONNECTIONS
from .messages import FORMAT_ERROR, NO_ERROR, NO_SUCH_NAME, REFUSED, A, build_response, parse_query
from .query_source import QuerySource
from .tcp import TcpLookups

if TYPE_CHECKING:
    from ..state.connections import ConnectionRegistry, RegisteredWorkspace
    from ..state.process_lookup import ProcessLookup

__all__ = ["Resolver"]

_OWN_NAME = "proxy"
_LOOPBACK = "localhost"
_REVERSE = ".in-addr.arpa"
_PORT = 53
_SAME_LOOKUP = 1.0
"""Seconds within which repeated queries for a name (A and AAAA, retries) are one look-up."""

_MAX_RECENT = 1000
_RECEIVE_BUFFER_BYTES = 1 << 20
"""Bytes of queries that may wait for the proxy; the kernel may allow fewer."""

_LARGEST_DATAGRAM_BYTES = 65536
_LEAST_DATAGRAM_BYTES = 256
"""Bytes of its queue that the kernel counts for the smallest datagram; Linux counts 768."""

_AT_A_TIME = 500
"""Datagrams after which others have their turn."""

_MAX_HELD = 200
"""Responses to one workspace that wait until it is known who looks a name up."""

_TOO_MANY = (
    f"This workspace reached the limit of {MAX_DNS_CONNECTIONS} connections to the resolver; "
    "further connections were closed. This is logged again only after half of them have ended."
)

LogLookup = Callable[[str, str, RequestFacts, Decision, str], None]


class Resolver:
    """
    Respond on UDP and TCP.

    Args:
        registry: knows the workspaces.
        address: the address of the name `proxy`.
        record: logs a look-up with workspace, phase, facts, decision and process.
        processes: finds out which process looks a name up; `None` for nobody.

    Attributes:
        tcp: the connections of clients.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        address: str,
        record: LogLookup,
        processes: ProcessLookup | None = None,
    ) -> None:
        self._processes = processes
        self._held: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._registry = registry
        self._address = address
        self._record = record
        self._recent: dict[tuple[str, str, str], float] = {}
        self.tcp = TcpLookups(registry, self.reply, self._log_limit)

    async def listen(self, host: str, port: int) -> None:
        """
        Serve until the program ends.

        Raises:
            OSError: the port is not available.
        """
        loop = asyncio.get_running_loop()
        self._transport, self._datagrams = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(host, port)
        )
        taken = self._transport.get_extra_info("socket")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._server = await asyncio.start_server(self.tcp.serve, host, port)

    async def pass_datagrams(self) -> None:
        """
        Respond to every datagram that has arrived until now.

        A datagram of our own behind them would be lost where a workspace keeps the queue full.
        """
        taken = self._transport.get_extra_info("socket")
        buffer = taken.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        with socket.socket(fileno=os.dup(taken.fileno())) as same:
            for number in range(buffer // _LEAST_DATAGRAM_BYTES + 1):
                try:
                    data, peer = same.recvfrom(_LARGEST_DATAGRAM_BYTES)
                except (BlockingIOError, InterruptedError):
                    return
                except OSError:
                    # An earlier response could not be delivered.
                    continue
                self._datagrams.datagram_received(data, peer)
                if number % _AT_A_TIME == _AT_A_TIME - 1:
                    await asyncio.sleep(0)

    def reply(
        self, message: bytes, peer: str, source: QuerySource | None = None
    ) -> bytes | asyncio.Task[bytes] | None:
        """
        Return the response to *message* from the address *peer*, `None` for no response.

        A task has the response in a moment, when the process is known that looks the name up: it
        goes on, and closes its socket, as soon as it has the response.
        """
        question = parse_query(message)
        if question is None:
            return None
        if not question.name:
            return build_response(question, FORMAT_ERROR)
        if question.name == _OWN_NAME:
            return build_response(question, NO_ERROR, self._address if question.kind == A else None)
        if question.name == _LOOPBACK:
            # The workspace's hosts file has only the IPv4 address; look-ups of IPv6 come here.
            return build_response(question, NO_ERROR, "127.0.0.1" if question.kind == A else None)
        workspace = self._registry.workspace(peer)
        if question.name.endswith("." + _OWN_NAME) or self._is_private_reverse(question.name):
            return build_response(question, NO_SUCH_NAME)
        response = build_response(question, REFUSED)
        if workspace is None:
            return response
        held = self._log_lookup(workspace, question.name, source)
        if held is None or workspace.held_responses >= _MAX_HELD:
            return response
        workspace.held_responses += 1
        return asyncio.ensure_future(self._after(held, workspace, response))

    async def _after(
        self, held: asyncio.Task[None], workspace: RegisteredWorkspace, response: bytes
    ) -> bytes:
        try:
            await asyncio.shield(held)
        finally:
            workspace.held_responses -= 1
        return response

    def _log_limit(self, workspace: RegisteredWorkspace) -> None:
        facts = RequestFacts(_OWN_NAME, method="DNS", scheme="dns", port=_PORT, encrypted=False)
        decision = Decision("failed", None, _TOO_MANY)
        self._record(workspace.id, workspace.phase, facts, decision, "")

    def _log_lookup(
        self, workspace: RegisteredWorkspace, name: str, source: QuerySource | None
    ) -> asyncio.Task[None] | None:
        """
        Log a look-up.

        Returns:
            The task that does it in a moment, `None` if it is done.
        """
        now = time.monotonic()
        key = workspace.id, workspace.phase, name
        last = self._recent.pop(key, -_SAME_LOOKUP)
        self._recent[key] = now
        if now - last < _SAME_LOOKUP:
            # The answer to A and that to AAAA go to the same socket.
            return self._held.get(key)
        while len(self._recent) > _MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        facts = RequestFacts(host=name, method="DNS", scheme="dns", port=_PORT, encrypted=False)
        decision = decide(facts, workspace.policy)
        answer = None
        if self._processes is not None and source is not None:
            answer = self._processes.ask(workspace, source.protocol, source.client, source.server)
        if source is None or answer is None:
            self._record(workspace.id, workspace.phase, facts, decision, "")
            return None

        async def log(answer: Coroutine[Any, Any, str]) -> None:
            try:
                process = await answer
                process = process if source.is_open() else ""
                self._record(workspace.id, workspace.phase, facts, decision, process)
            finally:
                del self._held[key]

        self._held[key] = task = asyncio.ensure_future(log(answer))
        return task

    def _is_private_reverse(self, name: str) -> bool:
        """
        Check whether a name asks for the name of a private address.

        Programs ask for the name of their own address, which is no attempt to reach anything.
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
        self._later: set[asyncio.Task[bytes]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        own = self._transport.get_extra_info("sockname")
        reply = self._resolver.reply(data, addr[0], QuerySource("udp", addr, own))
        if isinstance(reply, asyncio.Task):
            self._later.add(reply)
            reply.add_done_callback(lambda task: self._send_later(task, addr))
        elif reply:
            self._transport.sendto(reply, addr)

    def _send_later(self, task: asyncio.Task[bytes], addr: tuple[str, int]) -> None:
        self._later.discard(task)
        if not task.cancelled() and not task.exception():
            self._transport.sendto(task.result(), addr)
