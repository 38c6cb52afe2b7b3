"""
mitmproxy's treatment of one request, with nine differences:

- a message whose length is not what its header says goes no further, in either direction;
- every refusal is a response of ours, never a page of mitmproxy's;
- a body that comes with a refused request is discarded, not collected;
- when the server cannot be reached, the client gets a response of ours;
- a body of unknown length that comes by HTTP/2 goes on to an HTTP/1 server;
- an upstream proxy gets plain HTTP as an ordinary proxy request, not a tunnel;
- trailers of requests are dropped;
- placeholders of secrets are replaced in what is sent to the server, and only there;
- the stream can say how much it keeps in memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Error
from mitmproxy.net.http.url import hostport, parse_authority
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    HttpErrorHook,
    HTTPMode,
    HttpRequestHeadersHook,
    HttpStream,
    SendHttp,
    validate_request,
)
from mitmproxy.proxy.utils import ReceiveBuffer

from ..state import responses
from ..state.judgement import Judgement, digest_of, judge_broken_request, note_server_ended
from ..state.limits import MERGED_BYTES
from ..state.network_secrets import MaskedResponse, hides, rules_for, with_values
from .private import (
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

# mitmproxy 11 has numbers here, mitmproxy 12 an enumeration.
_REQUEST_ERROR: Any = RequestProtocolError.code
_RESPONSE_ERROR: Any = ResponseProtocolError.code

_PIECE_BYTES = 64 * 1024
_LINE_END = re.compile(rb"[\r\n\0]")
_FRAMING_ERRORS = ("HTTP/1 protocol error: ", "HTTP/2 protocol error: ", "the body ")
_HIDDEN = (
    "the server compressed its response, or switched to another protocol, although it was asked "
    "not to, and a secret that this host gets could not be seen in it"
)
_MALFORMED = "the server's response is malformed"
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
        self._request_length = _BodyLength()
        self._response_length = _BodyLength()
        self._is_sent = False
        self._masked: MaskedResponse | None = None

    def handle_event(self, event: events.Event) -> CommandGenerator[None]:
        """
        Count what comes, and drop trailers: a proxy may, and mitmproxy fails on them with HTTP/1.
        """
        if isinstance(event, RequestTrailers) or (
            isinstance(event, ResponseTrailers) and self.context.client.alpn != b"h2"
        ):
            return
        if isinstance(event, RequestData):
            self._request_length.received += len(event.data)
        elif isinstance(event, ResponseData):
            self._response_length.received += len(event.data)
        for visible in self._visible(event):
            yield from self._pass_on(visible)

    def _visible(self, event: events.Event) -> list[events.Event]:
        """
        Return what takes the place of *event*, so that the values of secrets are not in it.
        """
        masked = self._masked
        if masked is None:
            return [event]
        if isinstance(event, ResponseHeaders):
            if hides(event.response):
                return [ResponseProtocolError(self.stream_id, _HIDDEN, _RESPONSE_ERROR)]
            masked.mask_head(event.response)
        elif isinstance(event, ResponseData):
            event.data = masked.body.feed(event.data)
            return [event] if event.data else []
        elif isinstance(event, ResponseTrailers):
            masked.mask_fields(event.trailers)
        elif isinstance(event, ResponseProtocolError):
            # The message may quote what the server has sent.
            return [ResponseProtocolError(self.stream_id, _MALFORMED, event.code)]
        elif isinstance(event, ResponseEndOfMessage) and (held := masked.body.end()):
            return [ResponseData(self.stream_id, held), event]
        return [event]

    def _pass_on(self, event: events.Event) -> CommandGenerator[None]:
        """
        Handle *event*, or merge it with one that waits: each needs more memory than its bytes.
        """
        if is_paused(self) and isinstance(event, (RequestData, ResponseData)):
            queue = paused_events(self)
            last = queue[-1] if queue else None
            if type(last) is type(event) and len(last.data) <= MERGED_BYTES:
                last.data += event.data
                return
        for command in super().handle_event(self._checked(event)):
            if isinstance(command, SendHttp) and isinstance(command.event, RequestHeaders):
                self._is_sent = True
                self._insert_values(command.event)
            yield command

    def _insert_values(self, event: RequestHeaders) -> None:
        """
        Replace placeholders in what is sent, and not in the flow, which is logged and recorded.
        """
        judgement, request = Judgement.of(self.flow), event.request
        if judgement is None or not judgement.decision.allowed or request.scheme != "https":
            return
        facts = judgement.facts
        rules = rules_for(facts) if (request.host, request.port) == (facts.host, facts.port) else []
        if rules:
            # Also without a placeholder: the host may send back what it got in another request.
            event.request = with_values(request, rules)
            self._masked = MaskedResponse(rules)

    def _checked(self, event: events.Event) -> events.Event:
        """
        Return *event*; a protocol error in its place if the length of a body is not as announced.
        """
        if isinstance(event, RequestHeaders):
            self._request_length.announce(event.request.headers)
        elif isinstance(event, RequestEndOfMessage):
            if error := self._request_length.error():
                return RequestProtocolError(self.stream_id, error, _REQUEST_ERROR)
        elif isinstance(event, ResponseHeaders):
            if self.flow.request.method.upper() != "HEAD" and event.response.status_code not in (
                204,
                304,
            ):
                self._response_length.announce(event.response.headers)
        elif isinstance(event, ResponseEndOfMessage) and (error := self._response_length.error()):
            return ResponseProtocolError(self.stream_id, error, _RESPONSE_ERROR)
        return event

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
        self._is_request_ended = event.end_stream
        yield from super().state_wait_for_request_headers(event)
        if self.client_state == self.state_errored and Judgement.of(self.flow) is None:
            self._on_malformed(self.context.client, "the request is malformed or names no host")

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> CommandGenerator[None]:
        """
        Begin the response, unless it is malformed.
        """
        self._is_response_ended = event.end_stream
        yield from super().state_wait_for_response_headers(event)

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

    def check_invalid(self, request: bool) -> CommandGenerator[bool]:
        """
        Refuse a message that is malformed, with a response of ours.
        """
        error = self._request_error() if request else self._response_error()
        if error is None:
            return False
        client = self.context.client
        if request:
            self.flow.error = Error(error)
            yield HttpRequestHeadersHook(self.flow)
            judgement = Judgement.of(self.flow)
            if judgement is not None:
                self.flow.response = responses.blocked_response(judgement.decision)
            yield HttpErrorHook(self.flow)
            yield from self._send_refusal()
        else:
            yield SendHttp(
                RequestProtocolError(self.stream_id, error, _REQUEST_ERROR), self.context.server
            )
            yield from self._respond(error)
        if client.alpn != b"h2":
            yield SendHttp(ResponseProtocolError(self.stream_id, error, _RESPONSE_ERROR), client)
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        return True

    def check_killed(self, emit_error_hook: bool) -> CommandGenerator[bool]:
        """
        Check whether the client has gone, or sent something that is no body.
        """
        for event in paused_events(self):
            if _is_framing_error(event):
                judge_broken_request(self.flow, event.message, is_sent=self._is_sent)
        return (yield from super().check_killed(emit_error_hook))

    def _send_refusal(self) -> CommandGenerator[None]:
        """
        Send the response of ours to a request that is not complete.
        """
        response, client = self.flow.response, self.context.client
        if response is None or not client.state & ConnectionState.CAN_WRITE:
            return
        yield SendHttp(ResponseHeaders(self.stream_id, response, end_stream=False), client)
        yield SendHttp(ResponseData(self.stream_id, response.raw_content or b""), client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), client)

    def _request_error(self) -> str | None:
        """
        Say what is wrong with the head of the request, `None` if nothing is.
        """
        request = self.flow.request
        if error := validate_request(self.mode, request, validate_inbound_headers=False):
            return error
        try:
            validate_headers(request)
        except ValueError as error:
            return f"the request has {error}"
        if self._is_request_ended and (error := self._request_length.error()):
            return error
        if self.mode is HTTPMode.transparent or request.host or request.method == "CONNECT":
            return None
        try:
            parse_authority(request.host_header or "", check=True)
        except ValueError:
            return "the request names no host"
        return None

    def _response_error(self) -> str | None:
        """
        Say what is wrong with the head of the response, `None` if nothing is.
        """
        response, server = self.flow.response, self.context.server
        if response is None:
            return None
        versions = ("HTTP/2.0",) if server.alpn == b"h2" else ("HTTP/1.0", "HTTP/1.1")
        if response.http_version not in versions:
            return f"the response has the version {response.http_version[:20]!r}"
        if not 100 <= response.status_code <= 999:
            return "the response has a status that is not a number of three digits"
        if any(_LINE_END.search(value) for _, value in response.headers.fields):
            return "a header of the response has a line end in its value"
        try:
            validate_headers(response)
        except ValueError as error:
            return f"the response has {error}"
        return self._response_length.error() if self._is_response_ended else None

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
            and (self.client_state != self.state_done or request.raw_content)
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
        Respond for a server that closed the connection before its response, and judge a request
        whose end is not where its header says.
        """
        if _is_framing_error(event):
            judge_broken_request(self.flow, event.message, is_sent=self._is_sent)
        elif isinstance(event, ResponseProtocolError):
            note_server_ended(self.flow)
        is_own = isinstance(event, RequestProtocolError) and event.message.startswith("the body ")
        waits = self.server_state in (
            self.state_uninitialized,
            self.state_wait_for_response_headers,
        )
        judgement = Judgement.of(self.flow)
        if is_own and waits and judgement is not None:
            self.flow.response = responses.blocked_response(judgement.decision)
        unanswered = (
            isinstance(event, ResponseProtocolError)
            and self.server_state == self.state_wait_for_response_headers
            and self.flow.response is None
        )
        if not unanswered:
            yield from super().handle_protocol_error(event)
            if is_own:
                # The client still waits: for HTTP/2 the rest of its connection is in order.
                self.client_state = self.server_state = self.state_errored
                if waits:
                    yield from self._send_refusal()
                else:
                    error = ResponseProtocolError(self.stream_id, event.message, _RESPONSE_ERROR)
                    yield SendHttp(error, self.context.client)
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


def _is_framing_error(event: Any) -> bool:
    return isinstance(event, RequestProtocolError) and event.message.startswith(_FRAMING_ERRORS)


class _BodyLength:
    """
    What the header of a message says about the length of its body, and what has come.
    """

    def __init__(self) -> None:
        self.received = 0
        self._announced: int | None = None

    def announce(self, headers: http.Headers) -> None:
        """
        Note the length in the header, if there is one.
        """
        text = headers.get("content-length", "")
        if text.isascii() and text.isdecimal() and len(text) < 20:
            self._announced = int(text)

    def error(self) -> str | None:
        """
        Say how the body differs from its announced length, `None` if it does not.
        """
        announced, received = self._announced, self.received
        if announced is None or received == announced:
            return None
        return f"the body has {received} bytes, but its content-length is {announced}"


def _size_of(headers: http.Headers) -> int:
    """
    Return about how many bytes header fields need in memory.
    """
    return sum(len(name) + len(value) + _FIELD_BYTES for name, value in headers.fields)
