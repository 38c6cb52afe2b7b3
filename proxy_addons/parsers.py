"""
mitmproxy's parsers of what clients send, with bounds, and with a word to the
log about what they cannot read.

What mitmproxy does with such input is a line in its own log and a closed
connection: no flow, so no hook, and an attempt that no test would see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.net.http.http1.assemble import assemble_response
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server

from . import answers
from .limits import HEAD_BYTES

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

    from pytest_codex_workspace.network.policy import Decision

__all__ = ["OnMalformed", "StrictHttp1Server", "StrictHttp2Server", "bound_chunks"]

OnMalformed = Callable[["Client", str], "Decision | None"]
"""
Told of a connection that sent something which is no request, and what it was;
answers with the decision that was logged.
"""

_TOO_LONG = f"the head of a request is longer than {HEAD_BYTES} bytes"
_NO_HEAD = "the head of a request cannot be parsed"


class StrictHttp1Server(Http1Server):
    """
    HTTP/1 from a client.
    """

    def __init__(self, context: Context, on_malformed: OnMalformed) -> None:
        super().__init__(context)
        self._on_malformed = on_malformed

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """
        Read the head of a request, if it is one and not too long.
        """
        yield from super().read_headers(event)
        if not isinstance(event, events.DataReceived) or self.request is not None:
            return
        if self.state == self.done:
            self._on_malformed(self.context.client, _NO_HEAD)
        elif self.state == self.read_headers and len(self.buf) > HEAD_BYTES:
            self.state = self.done
            self.buf = ReceiveBuffer()
            decision = self._on_malformed(self.context.client, _TOO_LONG)
            if decision is not None:
                answer = assemble_response(answers.refusal(decision))  # type: ignore[no-untyped-call]
                yield commands.SendData(self.conn, answer)
            yield commands.CloseConnection(self.conn)

    def done(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """
        Keep nothing of what comes after the end.
        """
        self.buf = ReceiveBuffer()
        yield from super().done(event)


class StrictHttp2Server(Http2Server):
    """
    HTTP/2 from a client. The library bounds its heads.
    """

    def __init__(self, context: Context, on_malformed: OnMalformed) -> None:
        super().__init__(context)
        self._on_malformed = on_malformed

    def protocol_error(self, message: str, *rest: Any) -> CommandGenerator[None]:
        """
        End the connection, and say so to the log.
        """
        self._on_malformed(self.context.client, message)
        yield from super().protocol_error(message, *rest)


class _BoundedChunkedReader(ChunkedReader):
    """
    Chunks without their trailers, which a proxy may drop and mitmproxy fails
    on, and without lines that never end.
    """

    def __call__(self, buf: ReceiveBuffer) -> Any:
        event = super().__call__(buf)
        if event is None and len(buf) > HEAD_BYTES:
            raise h11.RemoteProtocolError("a line between chunks, or a trailer, is too long")
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def bound_chunks() -> None:
    """
    Let mitmproxy read chunked bodies, of clients and of servers, that way.
    """
    vars(_http1)["ChunkedReader"] = _BoundedChunkedReader
