"""
mitmproxy's parsers of HTTP/1, with bounds, and with a word to the log about
what they cannot read.

What mitmproxy does with such input of a client is a line in its own log and a closed
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
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseHeaders, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

from ..state import responses as answers
from ..state.limits import HEAD_BYTES, INTERIM_ANSWERS

if TYPE_CHECKING:
    from mitmproxy.connection import Client
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

    from pytest_codex_workspace.network.policy import Decision

__all__ = ["BoundedHttp1Client", "OnMalformed", "StrictHttp1Server", "bound_http1"]

OnMalformed = Callable[["Client", str], "Decision | None"]
"""
Told of a connection that sent something which is no request, and what it was;
answers with the decision that was logged.
"""

_TOO_LONG = f"the head of a request is longer than {HEAD_BYTES} bytes"
_ANSWER_TOO_LONG = f"the head of the answer is longer than {HEAD_BYTES} bytes"
_TOO_MANY = f"more than {INTERIM_ANSWERS} interim answers came before the answer"
_INTERIM = [100, *range(102, 200)]
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


class BoundedHttp1Client(Http1Client):
    """
    HTTP/1 to a server. Interim answers (1xx) are passed over, which mitmproxy
    takes for the answer; a switch of protocols is none.
    """

    def read_headers(self, event: events.ConnectionEvent) -> CommandGenerator[None]:
        """
        Read the head of an answer, if it is not too long.
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
            if self._interim > INTERIM_ANSWERS:
                yield from self._give_up(_TOO_MANY)
                return
        if self.response is not None:
            self._interim = 0
        elif self.request is not None and len(self.buf) > HEAD_BYTES:
            yield from self._give_up(_ANSWER_TOO_LONG)

    _interim = 0

    def _give_up(self, why: str) -> CommandGenerator[None]:
        self.buf = ReceiveBuffer()
        self.state = self.done
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            # The type of the code depends on the version.
            code: Any = ResponseProtocolError.code
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, why, code))


def _is_interim(command: commands.Command) -> bool:
    head = command.event if isinstance(command, ReceiveHttp) else None
    return isinstance(head, ResponseHeaders) and head.response.status_code in _INTERIM


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


def bound_http1() -> None:
    """
    Let mitmproxy read answers, and chunked bodies of both sides, that way.
    """
    vars(_http1)["ChunkedReader"] = _BoundedChunkedReader
    vars(layers)["Http1Client"] = BoundedHttp1Client
