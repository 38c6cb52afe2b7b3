"""
The private names of mitmproxy, h11, h2 and asyncio that the proxy relies on.

No other module imports a private name or reads a private attribute of another
library. An upgrade may change any of them without notice, so each has a test of
its own in `tests/unit/proxy_addons/mitm/test_private.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer as Http1Buffer
from mitmproxy.proxy.layers.http import _http1 as http1_module
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Connection, Http2Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection, SendH2Data

if TYPE_CHECKING:
    from h2.connection import H2Connection  # type: ignore[import-untyped]
    from mitmproxy.proxy.events import Event
    from mitmproxy.proxy.layer import Layer

__all__ = [
    "BufferedH2Connection",
    "ChunkedReader",
    "Http1Buffer",
    "Http1Client",
    "Http1Server",
    "Http2Client",
    "Http2Connection",
    "Http2Server",
    "ReceiveHttp",
    "RequestData",
    "RequestEndOfMessage",
    "RequestHeaders",
    "RequestProtocolError",
    "RequestTrailers",
    "ResponseData",
    "ResponseEndOfMessage",
    "ResponseHeaders",
    "ResponseProtocolError",
    "ResponseTrailers",
    "SendH2Data",
    "http1_module",
    "is_paused",
    "limit_read_ahead",
    "paused_events",
    "unparsed_h2_bytes",
    "unread_bytes",
]


def is_paused(layer: Layer) -> bool:
    """
    Check whether a layer waits for the reply to a command.
    """
    return layer._paused is not None


def paused_events(layer: Layer) -> Sequence[Event]:
    """
    Return the events that wait until a layer goes on.
    """
    return layer._paused_event_queue


def unparsed_h2_bytes(connection: H2Connection) -> int:
    """
    Return the number of received bytes that make no complete frame or header block yet.
    """
    frames = connection.incoming_buffer
    # Newer versions of h2 renamed `data`.
    data = frames.data if hasattr(frames, "data") else frames._data
    return len(data) + sum(len(frame.data) for frame in frames._headers_buffer)


def unread_bytes(reader: Any) -> int:
    """
    Return the number of bytes that were read from a socket and not yet processed.

    Args:
        reader: an asyncio stream reader, or another one of mitmproxy's, which has no buffer.
    """
    return len(getattr(reader, "_buffer", b""))


def limit_read_ahead(reader: Any, writer: Any, limit: int) -> None:
    """
    Read at most *limit* bytes ahead. asyncio reads 256 KiB at a time.

    Args:
        reader, writer: both ends of an asyncio stream; others are left alone.
        limit: bytes.
    """
    if isinstance(writer, asyncio.StreamWriter):
        vars(writer.transport)["max_size"] = limit
    if isinstance(reader, asyncio.StreamReader):
        vars(reader)["_limit"] = limit // 2
