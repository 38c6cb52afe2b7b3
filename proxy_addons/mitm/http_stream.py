"""
mitmproxy's treatment of one request, with six differences:

- a body that comes with a refused request is discarded, not collected;
- when the server cannot be reached, the client gets a response of ours;
- a body of unknown length that comes by HTTP/2 goes on to an HTTP/1 server;
- an upstream proxy gets plain HTTP as an ordinary proxy request, not a tunnel;
- trailers of requests are dropped;
- the stream can say how much it keeps in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mitmproxy.net.http.url import hostport
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream, SendHttp
from mitmproxy.proxy.utils import ReceiveBuffer

from ..state.judgement import Judgement, digest_of
from ..state.limits import MERGED_BYTES
from .private import (
    RequestData,
    RequestHeaders,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseProtocolError,
    ResponseTrailers,
    is_paused,
    paused_events,
)

if TYPE_CHECKING:
    from mitmproxy import http
    from mitmproxy.connection import Server
    from mitmproxy.proxy import events
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

    from ..state.responses import OnFailure, OnMalformed

__all__ = ["BoundedHttpStream"]

_PIECE_BYTES = 64 * 1024
_FIELD_BYTES = 150
"""Bytes that Python needs for a header field besides its text."""


class _Body(ReceiveBuffer):
    """
    A body in one piece, however small the pieces were that it came in.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._data = bytearray()

    def __iadd__(self, other: bytes) -> _Body:
        self._data += other
        return self

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def clear(self) -> None:
        self._data.clear()


class BoundedHttpStream(HttpStream):
    """
    One request and its response.

    Args:
        context: of the connection.
        stream_id: mitmproxy's number of the stream.
        on_failure: responds to a request that fails upstream.
        on_malformed: logs input that is not a request.
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
        self.request_body_buf = _Body()
        self._request_head = self._response_head = 0

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """
        Drop trailers, and merge pieces that have to wait.

        A proxy may drop trailers, and mitmproxy fails on them with HTTP/1. Each waiting
        piece needs more memory than its bytes.
        """
        if isinstance(event, RequestTrailers) or (
            isinstance(event, ResponseTrailers) and self.context.client.alpn != b"h2"
        ):
            return
        if is_paused(self) and isinstance(event, (RequestData, ResponseData)):
            queue = paused_events(self)
            last = queue[-1] if queue else None
            if type(last) is type(event) and len(last.data) <= MERGED_BYTES:
                last.data += event.data
                return
        yield from super().handle_event(event)

    @property
    def waiting_upstream(self) -> int:
        """
        Bytes of the request that wait for a decision or a connection.
        """
        return self._waiting(RequestData)

    @property
    def waiting_downstream(self) -> int:
        """
        Bytes of the response that wait for a decision.
        """
        return self._waiting(ResponseData)

    def buffered_bytes(self) -> tuple[int, int]:
        """
        Return the other bytes of the request and of the response in memory.
        """
        if self._request_head and not self._response_head and self.flow.response is not None:
            self._response_head = _size_of(self.flow.response.headers)
        requests = self._request_head + len(self.request_body_buf)
        return requests, self._response_head + len(self.response_body_buf)

    def _waiting(self, kind: type[RequestData | ResponseData]) -> int:
        return sum(len(each.data) for each in paused_events(self) if isinstance(each, kind))

    def state_wait_for_request_headers(self, event: RequestHeaders) -> CommandGenerator[None]:
        """
        Begin the request, or log that it is malformed.

        mitmproxy refuses some requests before it calls any hook.
        """
        self._request_head = _size_of(event.request.headers) + len(event.request.data.path)
        yield from super().state_wait_for_request_headers(event)
        if self.client_state == self.state_errored and Judgement.of(self.flow) is None:
            self._on_malformed(self.context.client, "the request is malformed or names no host")

    def state_consume_request_body(self, event: events.Event) -> CommandGenerator[None]:
        """
        Collect the body, unless there is a response already.
        """
        if isinstance(event, RequestData):
            if self.flow.response is not None:
                return
            if digest := digest_of(self.flow):
                digest.update(event.data)
                return
        yield from super().state_consume_request_body(event)

    def make_server_connection(self) -> CommandGenerator[bool]:
        """
        Connect to the server, or respond with an error.
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
        yield from self._respond(error)
        return False

    def _frame_body(self, connection: Server) -> None:
        """
        Send a body of unknown length in chunks to an HTTP/1 server.

        HTTP/2 marks the end of a body by itself, and mitmproxy would pass it on without an end.
        """
        request = self.flow.request
        if (
            request.is_http2
            and connection.alpn != b"h2"
            and self.client_state != self.state_done
            and "content-length" not in request.headers
        ):
            request.headers["transfer-encoding"] = "chunked"

    def send_response(self, already_streamed: bool = False) -> CommandGenerator[None]:
        """
        Send a response of ours in pieces, because TLS keeps a buffer for the largest one.
        """
        for command in super().send_response(already_streamed):
            event = command.event if isinstance(command, SendHttp) else None
            if not isinstance(event, ResponseData):
                yield command
                continue
            for at in range(0, len(event.data), _PIECE_BYTES):
                piece = event.data[at : at + _PIECE_BYTES]
                yield SendHttp(ResponseData(self.stream_id, piece), command.connection)

    def handle_protocol_error(self, event: Any) -> CommandGenerator[None]:
        """
        Respond for a server that closed the connection before its response.
        """
        unanswered = (
            isinstance(event, ResponseProtocolError)
            and self.server_state == self.state_wait_for_response_headers
            and self.flow.response is None
        )
        if not unanswered:
            yield from super().handle_protocol_error(event)
            return
        yield from self._respond(event.message)
        self.client_state = self.state_errored

    def _respond(self, error: str) -> CommandGenerator[None]:
        complete = self.client_state == self.state_done
        self.flow.response = self._on_failure(self.flow, error)
        yield from self.send_response()
        if not complete and self.flow.live:
            # The rest of the request is still to come and goes nowhere.
            self.flow.live = False
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)


def _size_of(headers: http.Headers) -> int:
    """
    Return about how many bytes header fields need in memory.
    """
    return sum(len(name) + len(value) + _FIELD_BYTES for name, value in headers.fields)
