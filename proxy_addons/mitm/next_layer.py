"""
What may run on a connection: HTTP to the proxy, TLS inside a tunnel, HTTP
inside that TLS, and nothing else.

It takes the place of mitmproxy's own `NextLayer`, which guesses. Here, what
is not recognised is closed, whatever the port.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer, modes
from mitmproxy.proxy.layers.http import HTTPMode

from pytest_codex_workspace.network.policy import RequestFacts, decide

from ..state.limits import SEGMENTS
from .client_hello import BoundedClientTLS
from .http_layer import GatedHttpLayer
from .http_stream import Exchange
from .sniff import is_http1, is_http2, is_tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy.proxy.context import Context

    from pytest_codex_workspace.network.policy import Payload

    from ..state.connections import Conversation, Registry
    from .http1 import OnMalformed
    from .http_stream import OnFailure

__all__ = ["Closed", "Tunnel"]

logger = logging.getLogger(__name__)


class Closed(layer.Layer):
    """
    Closes the client's connection and hears no more of it.
    """

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


class Tunnel:
    """
    Chooses each layer. An addon.

    Args:
        registry: knows the connections.
        on_failure: answers a request that fails upstream.
        on_malformed: told of what is no request.
        record: writes a refused tunnel to the log.
    """

    # mitmproxy warns when there is no addon of this name.
    name = "nextlayer"

    def __init__(
        self,
        registry: Registry,
        on_failure: OnFailure,
        on_malformed: OnMalformed,
        record: Callable[..., None],
    ) -> None:
        self._registry = registry
        self._on_failure = on_failure
        self._on_malformed = on_malformed
        self._record = record

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """
        Choose the layer for the bytes that have come, or wait for more.
        """
        try:
            many = len(nextlayer.events) > SEGMENTS
            nextlayer.layer = self._choose(nextlayer.context, _received(nextlayer), many)
        except Exception:
            logger.exception("a connection could not be understood and is closed")
            nextlayer.layer = Closed(nextlayer.context)

    def _choose(self, context: Context, data: bytes, many: bool) -> layer.Layer | None:
        top = context.layers[-1]
        conversation = self._registry.conversation(context.client)
        if conversation is not None:
            conversation.touch()
        if isinstance(top, modes.HttpProxy):
            return self._http(context, HTTPMode.regular, conversation)
        if isinstance(top, Exchange):
            recognised = is_tls(data)
            if recognised:
                outer = ServerTLSLayer(context)
                outer.child_layer = BoundedClientTLS(context)
                return outer
            return self._wait_or_close(context, conversation, recognised, "not-tls")
        if isinstance(top, ClientTLSLayer) and context.client.tls_established:
            recognised = is_http2(data) if context.client.alpn == b"h2" else is_http1(data)
            if recognised is None and many:
                recognised = False
            if recognised:
                return self._http(context, HTTPMode.transparent, conversation)
            return self._wait_or_close(context, conversation, recognised, "not-http")
        raise LookupError(f"nothing may follow {top!r}")

    def _http(
        self, context: Context, mode: HTTPMode, conversation: Conversation | None
    ) -> layer.Layer:
        return GatedHttpLayer(context, mode, conversation, self._on_failure, self._on_malformed)

    def _wait_or_close(
        self,
        context: Context,
        conversation: Conversation | None,
        recognised: bool | None,
        payload: Payload,
    ) -> layer.Layer | None:
        if recognised is None:
            return None
        if conversation is not None and conversation.tunnel is not None:
            host, port = conversation.tunnel
            facts = RequestFacts(host, method="CONNECT", port=port, payload=payload)
            decision = decide(facts, conversation.workspace.policy)
            self._record(conversation, facts, decision)
        return Closed(context)


def _received(nextlayer: layer.NextLayer) -> bytes:
    data: bytes = nextlayer.data_client()  # type: ignore[no-untyped-call]
    return data
