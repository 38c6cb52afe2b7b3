"""
mitmproxy's HTTP/1 parsers with limits. Input that they cannot parse is logged.

When a client sends such input, mitmproxy only writes a line to its own log and
closes the connection. There is no flow and so no hook: no test would see the attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from mitmproxy.net.http.http1.assemble import assemble_response
from mitmproxy.proxy import commands, events

from ..state import responses
from ..state.limits import MAX_HEAD_BYTES, MAX_INTERIM_RESPONSES
from .private import (
    ChunkedReader,
    Http1Buffer,
    Http1Client,
    Http1Server,
    ReceiveHttp,
    ResponseHeaders,
    ResponseProtocolError,
)

if TYPE_CHECKING:
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

    from ..state.responses import OnMalformed

__all__ = ["BoundedChunkedReader", "BoundedHttp1Client", "BoundedHttp1Server"]

_REQUEST_TOO_LONG = f"the head of the request is larger than the limit of {MAX_HEAD_BYTES} bytes"
_RESPONSE_TOO_LONG = f"the head of the response is larger than the limit of {MAX_HEAD_BYTES} bytes"
_TOO_MANY_INTERIM = f"the server sent more than {MAX_INTERIM_RESPONSES} interim responses"
_INTERIM = [100, *range(102, 200)]
_UNPARSABLE = "the head of the request cannot be parsed"


class BoundedHttp1Server(Http1Server):
    """
    HTTP/1 from a client.

    Args:
        context: of the connection.
        on_malformed: logs input that is not a request.
    """

    def __init__(self, context: Context, on_malformed: OnMalformed) -> None:
        super().__init__(context)
        self._on_malformed = on_malformed

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """
        Read the head of a request, unless it is malformed or too long.
        """
        is_error = False
        for command in super().read_headers(event):
            # mitmproxy's page of an error, and the end of the connection. The stream sends a
            # response of ours, or we do.
            is_page = isinstance(command, commands.SendData) and command.connection is self.conn
            is_error = is_error or is_page
            if is_page or (is_error and isinstance(command, commands.CloseConnection)):
                continue
            yield command
        if not isinstance(event, events.DataReceived) or self.request is not None:
            return
        if self.state == self.done:
            yield from self._refuse(_UNPARSABLE)
        elif self.state == self.read_headers and len(self.buf) > MAX_HEAD_BYTES:
            self.state = self.done
            self.buf = Http1Buffer()
            yield from self._refuse(_REQUEST_TOO_LONG)

    def _refuse(self, error: str) -> CommandGenerator[None]:
        yield responses.RefusalHook(self.context.client)
        decision = self._on_malformed(self.context.client, error)
        if decision is not None:
            response = responses.blocked_response(decision)
            data = assemble_response(response)  # type: ignore[no-untyped-call]
            yield commands.SendData(self.conn, data)
        yield commands.CloseConnection(self.conn)

    def done(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """
        Discard everything that comes after the end.
        """
        self.buf = Http1Buffer()
        yield from super().done(event)


class BoundedHttp1Client(Http1Client):
    """
    HTTP/1 to a server.

    Interim (1xx) responses are skipped, because mitmproxy takes them for the final
    response. A switch of protocols (101) is a final response.
    """

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """
        Read the head of a response, unless it is too long.
        """
        more = True
        while more:
            more = False
            for command in super().read_headers(event):
                if _is_interim(command):
                    self.response, more = None, True
                    self._interim += 1
                    break
                yield command
            if self._interim > MAX_INTERIM_RESPONSES:
                yield from self._give_up(_TOO_MANY_INTERIM)
                return
        if self.response is not None:
            self._interim = 0
        elif self.request is not None and len(self.buf) > MAX_HEAD_BYTES:
            yield from self._give_up(_RESPONSE_TOO_LONG)

    _interim = 0

    def _give_up(self, why: str) -> CommandGenerator[None]:
        self.buf = Http1Buffer()
        self.state = self.done
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            # mitmproxy 11 has a number here, mitmproxy 12 an enumeration.
            code: Any = ResponseProtocolError.code
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, why, code))


def _is_interim(command: commands.Command) -> bool:
    head = command.event if isinstance(command, ReceiveHttp) else None
    return isinstance(head, ResponseHeaders) and head.response.status_code in _INTERIM


class BoundedChunkedReader(ChunkedReader):
    """
    Reads a chunked body with a limit on its lines, and drops its trailers.

    A proxy may drop trailers, and mitmproxy fails on them.
    """

    def __call__(self, buf: Http1Buffer) -> Any:
        """
        Return the next event, `None` if more bytes are needed.

        Raises:
            RemoteProtocolError: a line is too long, or the body is malformed.
        """
        event = super().__call__(buf)
        if event is None and len(buf) > MAX_HEAD_BYTES:
            raise h11.RemoteProtocolError("a line between chunks, or a trailer, is too long")
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event
