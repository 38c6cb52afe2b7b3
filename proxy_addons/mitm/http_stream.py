"""
mitmproxy's treatment of one request, with six differences.

A body that comes with a refused request is thrown away instead of kept, when
the outside cannot be reached the client gets an answer of ours, a body of
unknown length gets from HTTP/2 to HTTP/1, an upstream proxy is asked for plain
HTTP as proxies are, not for a tunnel, trailers of requests are dropped, and
what is held in memory can be told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mitmproxy import http
from mitmproxy.net.http.url import hostport
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestHeaders,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.utils import ReceiveBuffer

from ..answer.replay import digest_of
from ..state.judgement import Judgement
from ..state.limits import MERGED_BYTES
from .http1 import OnMalformed

if TYPE_CHECKING:
    from mitmproxy.connection import Server
    from mitmproxy.proxy import events
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

__all__ = ["Exchange", "OnFailure"]

OnFailure = Callable[[http.HTTPFlow, str], http.Response]
"""Makes the answer for a flow that failed upstream with an error message."""

_PIECE_BYTES = 64 * 1024
_FIELD_BYTES = 150
"""What Python takes for a header field besides its text."""


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
        self.request_body_buf = _Body()
        self._head = self._answer_head = 0

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """
        Drop trailers, which a proxy may do and mitmproxy fails on with HTTP/1.
        Put pieces together that have to wait: each costs more than its bytes.
        """
        if isinstance(event, RequestTrailers) or (
            isinstance(event, ResponseTrailers) and self.context.client.alpn != b"h2"
        ):
            return
        if self._paused and isinstance(event, (RequestData, ResponseData)):
            last = self._paused_event_queue[-1] if self._paused_event_queue else None
            if type(last) is type(event) and len(last.data) <= MERGED_BYTES:
                last.data += event.data
                return
        yield from super().handle_event(event)

    @property
    def waiting_up(self) -> int:
        """
        Bytes of the request that wait for a decision or a connection.
        """
        return self._waiting(RequestData)

    @property
    def waiting_down(self) -> int:
        """
        Bytes of the response that wait for a decision.
        """
        return self._waiting(ResponseData)

    def held(self) -> tuple[int, int]:
        """
        Bytes of the request and of the response that are kept besides.
        """
        if self._head and not self._answer_head and self.flow.response is not None:
            self._answer_head = _size_of(self.flow.response.headers)
        requests = self._head + len(self.request_body_buf)
        return requests, self._answer_head + len(self.response_body_buf)

    def _waiting(self, kind: type[RequestData | ResponseData]) -> int:
        queue = self._paused_event_queue
        return sum(len(each.data) for each in queue if isinstance(each, kind))

    def state_wait_for_request_headers(self, event: RequestHeaders) -> CommandGenerator[None]:
        """
        Begin, or say to the log that this was no request: mitmproxy refuses
        some before any hook.
        """
        self._head = _size_of(event.request.headers) + len(event.request.data.path)
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

    def send_response(self, already_streamed: bool = False) -> CommandGenerator[None]:
        """
        Send an answer of ours in pieces, for TLS keeps room for the largest.
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


def _size_of(headers: http.Headers) -> int:
    """
    Bytes that header fields take in memory, about.
    """
    return sum(len(name) + len(value) + _FIELD_BYTES for name, value in headers.fields)
