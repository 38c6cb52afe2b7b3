"""
mitmproxy's HTTP layer, in which nothing piles up.

It passes data on as it comes; here each side is read as fast as the other one
takes it, and what is held meanwhile can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    RegisterHttpConnection,
)

from ..state.limits import BACKLOG_BYTES, STREAMS
from .http1 import BoundedHttp1Client, StrictHttp1Server
from .http2 import BoundedHttp2Client, Settle, StrictHttp2Server
from .http_stream import Exchange

if TYPE_CHECKING:
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator, Layer
    from mitmproxy.proxy.layers.http import HTTPMode

    from ..state.connections import Conversation
    from .http1 import OnMalformed
    from .http_stream import OnFailure

__all__ = ["GatedHttpLayer"]

_TOO_MANY = "too many connections are being opened for this one"


class GatedHttpLayer(HttpLayer):
    """
    Makes an `Exchange` of every request.

    Args:
        context: of the connection.
        mode: of mitmproxy.
        conversation: the connection; `None` if nobody is known to have made it.
        on_failure: answers a request that fails upstream.
        on_malformed: told of what is no request.
    """

    def __init__(
        self,
        context: Context,
        mode: HTTPMode,
        conversation: Conversation | None,
        on_failure: OnFailure,
        on_malformed: OnMalformed,
    ) -> None:
        super().__init__(context, mode)
        self._conversation = conversation
        self._on_failure = on_failure
        self._on_malformed = on_malformed
        parser = StrictHttp2Server if context.client.alpn == b"h2" else StrictHttp1Server
        self._client = parser(context.fork(), on_malformed)
        self.connections[context.client] = self._client
        self._servers: dict[Connection, Layer] = {}
        if conversation is not None:
            conversation.layers.append(self)

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        """
        Begin a request.
        """
        context = self.context.fork()
        stream = Exchange(context, stream_id, self._on_failure, self._on_malformed)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def exchanges(self) -> Iterator[Exchange]:
        """
        The requests that are under way.
        """
        return (
            each
            for each in self.streams.values()
            if isinstance(each, Exchange) and each.client_state != each.state_uninitialized
        )

    def is_stuck(self, connection: Connection) -> bool:
        """
        Whether no more is to be read from *connection* at present. HTTP/2 has
        its own way to say so.
        """
        if connection is self.context.client:
            if isinstance(self._client, StrictHttp2Server):
                return False
            next_request = len(self._client.buf) if self._client.state == self._client.wait else 0
            return next_request + self._waiting_up(self._client.stream_id) > self._bound
        server = self._servers.get(connection)
        if isinstance(server, BoundedHttp1Client) and server.stream_id is not None:
            return self._waiting_down(server.stream_id) > self._bound
        return False

    def held(self) -> tuple[int, int]:
        """
        Bytes of requests, and of answers, that are in memory.
        """
        requests = self._client_unread() + sum(self._waiting_up(each) for each in self.streams)
        answers = sum(self._waiting_down(each) for each in self._streams_with_answers())
        for stream in self.exchanges():
            sent, received = stream.held()
            requests, answers = requests + sent, answers + received
        for server in self._servers.values():
            if isinstance(server, BoundedHttp1Client):
                answers += len(server.buf)
            elif isinstance(server, BoundedHttp2Client):
                answers += server.h2_conn.unread()
        return requests, answers

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        yield from super()._handle_event(event)
        if isinstance(event, events.ConnectionClosed):
            self._drop(event.connection)
        yield from self._settle()

    def register_connection(self, command: RegisterHttpConnection) -> CommandGenerator[None]:
        """
        Note who speaks to a server.
        """
        if command.err is None:
            self._servers[command.connection] = _innermost(self.connections[command.connection])
        yield from super().register_connection(command)

    def get_connection(
        self, event: GetHttpConnection, *, reuse: bool = True
    ) -> CommandGenerator[None]:
        """
        Open a connection, unless too many are being opened: a client that
        takes its requests back could ask for any number.
        """
        if len(self.waiting_for_establishment) >= 2 * STREAMS:
            stream = self.command_sources.pop(event)
            refusal = GetHttpConnectionCompleted(event, (None, _TOO_MANY))
            yield from self.event_to_child(stream, refusal)
            return
        yield from super().get_connection(event, reuse=reuse)

    def _settle(self) -> CommandGenerator[None]:
        client = self._client
        if isinstance(client, StrictHttp2Server) and client.h2_conn.owed:
            yield from self.event_to_child(client, Settle(self._is_stuck_up))
        for connection, server in list(self._servers.items()):
            if isinstance(server, BoundedHttp2Client) and server.h2_conn.owed:
                stuck = self._is_stuck_down(server)
                yield from self.event_to_child(self.connections[connection], Settle(stuck))

    def _is_stuck_up(self, stream_id: int) -> bool:
        return self._waiting_up(stream_id) > self._bound

    def _is_stuck_down(self, server: BoundedHttp2Client) -> Callable[[int], bool]:
        def stuck(ours: int) -> bool:
            theirs = server.their_stream_id.get(ours)
            return theirs is not None and self._waiting_down(theirs) > self._bound

        return stuck

    def _waiting_up(self, stream_id: int) -> int:
        """
        Bytes of a request that its server does not take yet.
        """
        stream = self.streams.get(stream_id)
        if not isinstance(stream, Exchange):
            return 0
        server = self._servers.get(stream.context.server)
        waiting = stream.waiting_up
        if isinstance(server, BoundedHttp2Client):
            waiting += server.waiting_up(stream_id)
        return waiting

    def _waiting_down(self, stream_id: int) -> int:
        """
        Bytes of an answer that the client does not take yet.
        """
        stream = self.streams.get(stream_id)
        waiting = stream.waiting_down if isinstance(stream, Exchange) else 0
        if isinstance(self._client, StrictHttp2Server):
            waiting += self._client.h2_conn.waiting(stream_id)
        return waiting

    @property
    def _bound(self) -> int:
        """
        What one message may have waiting: nothing, once its workspace has too much.
        """
        full = self._conversation is not None and self._conversation.workspace.is_full
        return 0 if full else BACKLOG_BYTES

    def _client_unread(self) -> int:
        if isinstance(self._client, StrictHttp2Server):
            return self._client.h2_conn.unread()
        return len(self._client.buf)

    def _streams_with_answers(self) -> set[int]:
        found = set(self.streams)
        if isinstance(self._client, StrictHttp2Server):
            found.update(self._client.h2_conn.stream_buffers)
        return found

    def _drop(self, connection: Connection) -> None:
        """
        Forget a server that is gone. mitmproxy keeps them while the client
        stays, with their TLS: one for each request from HTTP/2 to HTTP/1.
        """
        if isinstance(connection, Server) and connection.state is ConnectionState.CLOSED:
            self._servers.pop(connection, None)
            if connection not in self.waiting_for_establishment:
                self.connections.pop(connection, None)


def _innermost(layer: Layer) -> Layer:
    while (child := getattr(layer, "child_layer", None)) is not None:
        layer = child
    return layer
