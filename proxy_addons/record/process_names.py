"""
Find out which process makes a request that is refused, while it waits for the response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..state.judgement import Judgement
from ..state.limits import MAX_TLS_CLIENTS

if TYPE_CHECKING:
    from mitmproxy import http, tls
    from mitmproxy.connection import Client

    from ..state.connections import ConnectionRegistry, WorkspaceConnection
    from ..state.process_lookup import ProcessLookup

__all__ = ["ProcessNames", "tls_client"]

_TELLING = (13, 16)
"""TLS extensions whose content is that of a program: signatures and protocols that it accepts."""

_VARYING = (0, 21, 35, 41, 42)
"""TLS extensions that depend on the server or on earlier connections: names, padding, tickets."""


class ProcessNames:
    """
    Name the process of each connection with something to refuse. An addon, before those that log.

    A refusal is held until the process is known, because its client may be gone right after it.
    A client that distrusts the certificate is gone before we hear of it, so its handshake is held,
    too, but only as long as no client of its kind has shown, in this workspace and for this host,
    that it trusts the certificate, or once one has shown that it does not.

    Args:
        registry: knows the connections.
        lookup: asks the host.
        is_open: checks that the socket of a client is still connected to it.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        lookup: ProcessLookup,
        is_open: Callable[[Client], bool],
    ) -> None:
        self._registry = registry
        self._lookup = lookup
        self._is_open = is_open

    def http_connect(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """
        Hold the refusal of a tunnel.
        """
        return self._name_refused(flow)

    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """
        Hold the refusal of a request.
        """
        return self._name_refused(flow)

    def error(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """
        Hold the end of a request that is refused for its form.
        """
        return self._name_refused(flow)

    def refusal(self, client: Client) -> Awaitable[None] | None:
        """
        Hold the refusal of what is no request.
        """
        connection = self._registry.connection(client)
        return None if connection is None else self.name(connection)

    def tls_clienthello(self, data: tls.ClientHelloData) -> Awaitable[None] | None:
        """
        Hold the handshake of a client that may distrust the certificate.
        """
        connection = self._registry.connection(data.context.client)
        if connection is None:
            return None
        workspace, kind = connection.workspace, tls_client(data)
        connection.tls_client = kind
        trusting = workspace.trusting
        trusts = (kind, connection.tunnel) in trusting or len(trusting) >= MAX_TLS_CLIENTS
        if trusts and kind not in workspace.distrusting:
            return None
        return self.name(connection)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Note that a client trusts the certificate: it has sent a request.
        """
        connection = self._registry.connection(flow.client_conn)
        if connection is not None and connection.tls_client is not None:
            trusting = connection.workspace.trusting
            if len(trusting) < MAX_TLS_CLIENTS:
                trusting.add((connection.tls_client, connection.tunnel))
            connection.tls_client = None

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """
        Note that a client does not trust the certificate.
        """
        self._note_distrust(self._registry.connection(data.context.client))

    def client_disconnected(self, client: Client) -> None:
        """
        Note that a client ended its connection after the handshake: some check only then.
        """
        self._note_distrust(self._registry.connection(client))

    def name(self, connection: WorkspaceConnection) -> Awaitable[None] | None:
        """
        Return what finds out the process of a connection; `None` if nothing has to be waited for.
        """
        client = connection.client
        if connection.held is not None:
            return asyncio.shield(connection.held)
        if connection.was_asked or not self._is_open(client):
            return None
        answer = self._lookup.ask(connection.workspace, "tcp", client.peername, client.sockname)
        if answer is None:
            return None
        connection.was_asked = True
        connection.held = held = asyncio.get_running_loop().create_future()
        return self._set(connection, answer, held)

    def _name_refused(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        judgement = Judgement.of(flow)
        if judgement is None or judgement.decision.verdict != "blocked":
            return None
        connection = self._registry.connection(flow.client_conn)
        if connection is None:
            return None
        return _then(self.name(connection), judgement, connection)

    async def _set(
        self,
        connection: WorkspaceConnection,
        answer: Coroutine[Any, Any, str],
        held: asyncio.Future[None],
    ) -> None:
        try:
            process = await answer
        finally:
            connection.held = None
            held.set_result(None)
        # While our end of the connection is open, nobody else can have its port.
        if self._is_open(connection.client):
            connection.process = process

    @staticmethod
    def _note_distrust(connection: WorkspaceConnection | None) -> None:
        if connection is not None and connection.tls_client is not None:
            distrusting = connection.workspace.distrusting
            if len(distrusting) < MAX_TLS_CLIENTS:
                distrusting.add(connection.tls_client)
            connection.tls_client = None


def _then(
    named: Awaitable[None] | None, judgement: Judgement, connection: WorkspaceConnection
) -> Awaitable[None] | None:
    """
    Let a judgement have the process of its connection once it is known.
    """
    if named is None:
        judgement.process = connection.process
        return None

    async def wait() -> None:
        await named
        judgement.process = connection.process

    return wait()


def tls_client(data: tls.ClientHelloData) -> int:
    """
    Return a number that tells kinds of clients apart: those that offer other ciphers and extensions
    are other programs, or are configured in another way.
    """
    hello = data.client_hello
    ciphers = tuple(each for each in hello.cipher_suites if not _is_grease(each))
    extensions = frozenset(
        (kind, body if kind in _TELLING else b"")
        for kind, body in hello.extensions
        if kind not in _VARYING and not _is_grease(kind)
    )
    return hash((ciphers, extensions))


def _is_grease(value: int) -> bool:
    """
    Check whether a client has made up a value at random (RFC 8701).
    """
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF
