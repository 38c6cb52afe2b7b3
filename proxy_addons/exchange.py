"""
mitmproxy's HTTP layer with five differences.

What clients send is read by parsers of ours, a body that comes with a refused
request is thrown away instead of kept, when the outside cannot be reached the
client gets an answer of ours, a body of unknown length gets from HTTP/2 to
HTTP/1, and an upstream proxy is asked for plain HTTP as proxies are, not for a
tunnel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mitmproxy import http
from mitmproxy.net.http.url import hostport
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestHeaders,
    ResponseEndOfMessage,
    ResponseProtocolError,
)

from .judgement import Judgement
from .parsers import OnMalformed, StrictHttp1Server, StrictHttp2Server
from .replay import digest_of

if TYPE_CHECKING:
    from mitmproxy.connection import Server
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator
    from mitmproxy.proxy.layers.http import HTTPMode

__all__ = ["Exchange", "GatedHttpLayer", "OnFailure"]

OnFailure = Callable[[http.HTTPFlow, str], http.Response]
"""Makes the answer for a flow that failed upstream with an error message."""


class GatedHttpLayer(HttpLayer):
    """
    Makes an `Exchange` of every request.
    """

    def __init__(
        self,
        context: Context,
        mode: HTTPMode,
        on_failure: OnFailure,
        on_malformed: OnMalformed,
    ) -> None:
        super().__init__(context, mode)
        self._on_failure = on_failure
        self._on_malformed = on_malformed
        parser = StrictHttp2Server if context.client.alpn == b"h2" else StrictHttp1Server
        self.connections[context.client] = parser(context.fork(), on_malformed)

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        """
        Begin a request.
        """
        context = self.context.fork()
        stream = Exchange(context, stream_id, self._on_failure, self._on_malformed)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())


class Exchange(HttpStream):
    """
    One request and its response.
    """

    def __init__(
        self,
        context: Context,
        stream_id: int,
        on_failure: OnFailure,
        on_malformed: OnMalformed,
    ) -> None:
        super().__init__(context, stream_id)
        self._on_failure = on_failure
        self._on_malformed = on_malformed

    def state_wait_for_request_headers(self, event: RequestHeaders) -> CommandGenerator[None]:
        """
        Begin, or say to the log that this was no request: mitmproxy refuses
        some before any hook.
        """
        yield from super().state_wait_for_request_headers(event)
        if self.client_state == self.state_errored and Judgement.of(self.flow) is None:
            self._on_malformed(self.context.client, "the request makes no sense or names no host")

    def state_consume_request_body(self, event: events.Event) -> CommandGenerator[None]:
        """
        Collect the body, unless the answer has been given already.
        """
        if isinstance(event, RequestData):
            if self.flow.response is not None:
                return
            if taken := digest_of(self.flow):
                taken.update(event.data)
                return
        yield from super().state_consume_request_body(event)

    def make_server_connection(self) -> CommandGenerator[bool]:
        """
        Connect to the outside, or answer that this is not possible.
        """
        server, request = self.flow.server_conn, self.flow.request
        address, tls, via = (request.host, request.port), request.scheme == "https", server.via
        if via and not tls:
            host = f"[{request.host}]" if ":" in request.host else request.host
            request.authority = hostport("http", host, request.port)
            scheme, address = via
            tls, via = scheme == "https", None
        connection, error = yield GetHttpConnection(address, tls, via, server.transport_protocol)
        if error is None:
            self.context.server = self.flow.server_conn = connection
            self._frame_body(connection)
            return True
        yield from self._answer(error)
        return False

    def _frame_body(self, connection: Server) -> None:
        """
        Give a body of unknown length an end that HTTP/1 understands: HTTP/2
        needs none, and mitmproxy would send it on without any.
        """
        request = self.flow.request
        if (
            request.is_http2
            and connection.alpn != b"h2"
            and self.client_state != self.state_done
            and "content-length" not in request.headers
        ):
            request.headers["transfer-encoding"] = "chunked"

    def handle_protocol_error(self, event: Any) -> CommandGenerator[None]:
        """
        Answer for a server that went away before it said anything.
        """
        silent = (
            isinstance(event, ResponseProtocolError)
            and self.server_state == self.state_wait_for_response_headers
            and self.flow.response is None
        )
        if not silent:
            yield from super().handle_protocol_error(event)
            return
        yield from self._answer(event.message)
        self.client_state = self.state_errored

    def _answer(self, error: str) -> CommandGenerator[None]:
        complete = self.client_state == self.state_done
        self.flow.response = self._on_failure(self.flow, error)
        yield from self.send_response()
        if not complete and self.flow.live:
            # The rest of the request is still to come and goes nowhere.
            self.flow.live = False
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
