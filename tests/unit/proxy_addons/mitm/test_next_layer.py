"""The protocols that may run on a connection."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from mitmproxy.options import Options
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.test import tflow

from proxy_addons.mitm import next_layer
from proxy_addons.mitm.client_hello import BoundedClientTls
from proxy_addons.mitm.next_layer import CloseConnectionLayer, LayerSelector
from tests.helpers.flows import AddonChain

if TYPE_CHECKING:
    import pytest

    from proxy_addons.state.connections import WorkspaceConnection


def test_a_first_line_in_too_many_segments_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each segment means a look at all segments of the first line, so their number is limited.
    """
    monkeypatch.setattr(next_layer, "MAX_FIRST_LINE_SEGMENTS", 64)
    chain = AddonChain()
    connection = chain.connect(("example.org", 443))
    context = Context(connection.client, Options())

    async def name(connection: WorkspaceConnection) -> None:
        connection.process = "sh › ssh"

    def nothing(*_: object) -> None:
        return None

    log = chain.connection_logger.log_tunnel
    tunnel = LayerSelector(chain.registry, nothing, nothing, log, name)
    BoundedClientTls(_below(context))
    context.client.timestamp_tls_setup = 1.0
    nextlayer = NextLayer(context)
    for count in itertools.count(1):
        piece = b"GET /"[count - 1 : count] or b"a"
        nextlayer.events.append(events.DataReceived(context.client, piece))
        asyncio.run(tunnel.next_layer(nextlayer))
        if nextlayer.layer is not None:
            break

    assert count == 65
    assert isinstance(nextlayer.layer, CloseConnectionLayer)
    assert (chain.events[-1]["reason"], chain.events[-1]["process"]) == ("not-tls", "sh › ssh")


def _below(context: Context) -> Context:
    """
    Return a context in which TLS is not the first layer.
    """
    context.server = tflow.tserver_conn()
    context.layers.append(NextLayer(context))
    return context
