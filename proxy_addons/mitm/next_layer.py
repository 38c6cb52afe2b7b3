"""
Which protocols may run on a connection: HTTP to the proxy, TLS inside a tunnel,
HTTP inside that TLS, and nothing else.

This replaces mitmproxy's own `NextLayer`, which guesses. Here an unrecognised
protocol closes the connection, whatever the port.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer, modes
from mitmproxy.proxy.layers.http import HTTPMode

from pytest_codex_workspace.network.rules.policy import RequestFacts, decide

from ..state.limits import MAX_FIRST_LINE_SEGMENTS
from .client_hello import BoundedClientTls
from .http_layer import BoundedHttpLayer
from .http_stream import BoundedHttpStream
from .sniff import is_http1, is_http2, is_tls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mitmproxy.proxy.context import Context

    from pytest_codex_workspace.network.rules.policy import Payload

    from ..state.connections import ConnectionRegistry, WorkspaceConnection
    from ..state.responses import OnFailure, OnMalformed

__all__ = ["CloseConnectionLayer", "LayerSelector"]

logger = logging.getLogger(__name__)


class CloseConnectionLayer(layer.Layer):
    """
    Closes the client's connection and ignores everything that comes after.
    """

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


class LayerSelector:
    """
    Select each layer of mitmproxy. An addon.

    Args:
        registry: knows the connections.
        on_failure: responds to a request that fails upstream.
        on_malformed: logs input that is not a request.
        log_tunnel: logs a refused tunnel.
        name_process: returns what finds out the process of a connection, `None` for nothing.
    """

    # mitmproxy warns when there is no addon of this name.
    name = "nextlayer"

    def __init__(
        self,
        registry: ConnectionRegistry,
        on_failure: OnFailure,
        on_malformed: OnMalformed,
        log_tunnel: Callable[..., None],
        name_process: Callable[[WorkspaceConnection], Awaitable[None] | None],
    ) -> None:
        self._registry = registry
        self._on_failure = on_failure
        self._on_malformed = on_malformed
        self._log_tunnel = log_tunnel
        self._name_process = name_process

    async def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """
        Select the layer for the bytes that have come, or wait for more.
        """
        try:
            many = len(nextlayer.events) > MAX_FIRST_LINE_SEGMENTS
            nextlayer.layer = await self._select(nextlayer.context, _received(nextlayer), many)
        except Exception:
            logger.exception("a connection is closed because its next layer cannot be selected")
            nextlayer.layer = CloseConnectionLayer(nextlayer.context)

    async def _select(self, context: Context, data: bytes, many: bool) -> layer.Layer | None:
        top = context.layers[-1]
        connection = self._registry.connection(context.client)
        if connection is not None:
            connection.note_activity()
        if isinstance(top, modes.HttpProxy):
            return self._http(context, HTTPMode.regular, connection)
        if isinstance(top, BoundedHttpStream):
            recognised = is_tls(data)
            if recognised:
                outer = ServerTLSLayer(context)
                outer.child_layer = BoundedClientTls(context)
                return outer
            return await self._wait_or_close(context, connection, recognised, "not-tls")
        if isinstance(top, ClientTLSLayer) and context.client.tls_established:
            recognised = is_http2(data) if context.client.alpn == b"h2" else is_http1(data)
            if recognised is None and many:
                recognised = False
            if recognised:
                return self._http(context, HTTPMode.transparent, connection)
            return await self._wait_or_close(context, connection, recognised, "not-http")
        raise LookupError(f"no layer may follow {top!r}")

    def _http(
        self, context: Context, mode: HTTPMode, connection: WorkspaceConnection | None
    ) -> layer.Layer:
        return BoundedHttpLayer(context, mode, connection, self._on_failure, self._on_malformed)

    async def _wait_or_close(
        self,
        context: Context,
        connection: WorkspaceConnection | None,
        recognised: bool | None,
        payload: Payload,
    ) -> layer.Layer | None:
        if recognised is None:
            return None
        if connection is not None and connection.tunnel is not None:
            host, port = connection.tunnel
            facts = RequestFacts(host, method="CONNECT", port=port, payload=payload)
            decision = decide(facts, connection.workspace.policy)
            if (named := self._name_process(connection)) is not None:
                await named
            self._log_tunnel(connection, facts, decision)
        return CloseConnectionLayer(context)


def _received(nextlayer: layer.NextLayer) -> bytes:
    data: bytes = nextlayer.data_client()  # type: ignore[no-untyped-call]
    return data
