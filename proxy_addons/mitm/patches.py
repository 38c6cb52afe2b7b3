"""
Replace classes of mitmproxy by our own, where it has no option for that.

mitmproxy looks each of these names up in one of its modules when it needs the
class. A test checks for each name that it still does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mitmproxy.proxy import mode_servers
from mitmproxy.proxy.layers import http as http_module

from .backpressure import BoundedConnectionHandler
from .http1 import BoundedChunkedReader, BoundedHttp1Client
from .http2 import BoundedHttp2Client
from .private import http1_module

if TYPE_CHECKING:
    from ..state.connections import ConnectionRegistry
    from .backpressure import OnMemoryLimit

__all__ = ["patch_connections", "patch_http1", "patch_http2"]


def patch_http1() -> None:
    """
    Make mitmproxy read HTTP/1 responses, and the chunked bodies of both sides, within limits.
    """
    vars(http1_module)["ChunkedReader"] = BoundedChunkedReader
    vars(http_module)["Http1Client"] = BoundedHttp1Client


def patch_http2() -> None:
    """
    Make mitmproxy speak HTTP/2 to servers with back-pressure.
    """
    vars(http_module)["Http2Client"] = BoundedHttp2Client


def patch_connections(registry: ConnectionRegistry, on_memory_limit: OnMemoryLimit) -> None:
    """
    Make mitmproxy handle the connections of clients with back-pressure.

    Args:
        registry: knows the connections.
        on_memory_limit: logs a connection that is closed because of `MAX_BUFFERED_BYTES`.
    """
    handler = partial(BoundedConnectionHandler, registry, on_memory_limit)
    vars(mode_servers)["ProxyConnectionHandler"] = handler
