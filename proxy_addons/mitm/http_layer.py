"""
mitmproxy's HTTP layer with back-pressure.

mitmproxy passes data on as it comes. Here each side is read as fast as the other
one accepts data, and the layer can say how much it keeps meanwhile.
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

from ..state.limits import BACKLOG_BYTES, MAX_STREAMS
from .http1 import BoundedHttp1Client, BoundedHttp1Server
from .http2 import AcknowledgeData, BoundedHttp2Client, BoundedHttp2Server
from .http_stream import BoundedHttpStream

if TYPE_CHECKING:
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator, Layer
    from mitmproxy.proxy.layers.http import HTTPMode

    from ..state.connections import WorkspaceConnection
    from ..state.responses import OnFailure, OnMalformed

__all__ = ["BoundedHttpLayer"]

_TOO_MANY = "too many connections are being opened for this client"


class BoundedHttpLayer(HttpLayer):
    """
    The HTTP layer of one client, with a `BoundedHttpStream` for every request.

    Args:
        context: of the connection.
        mode: mitmproxy's mode.
        workspace_connection: the connection; `None` if it belongs to no workspace.
        on_failure: responds to a request that fails upstream.
        on_malformed: logs input that is not a request.
    """

    def __init__(
        self,
        context: Context,
        mode: HTTPMode,
        workspace_connection: WorkspaceConnection | None,
        on_failure: OnFailure,
        on_malformed: OnMalformed,
    ) -> None:
        super().__init__(context, mode)
        self._workspace_connection = workspace_connection
        self._on_failure = on_failure
        self._on_malformed = on_malformed
        parser = BoundedHttp2Server if context.client.alpn == b"h2" else BoundedHttp1Server
        self._client = parser(context.fork(), on_malformed)
        self.connections[context.client] = self._client
        self._servers: dict[Connection, Layer] = {}
        if workspace_connection is not None:
            workspace_connection.http_layers.append(self)

    def make_stream(self, stream_id: int) -> CommandGenerator[None]:
        """
        Begin a request.
        """
        context = self.context.fork()
        stream = BoundedHttpStream(context, stream_id, self._on_failure, self._on_malformed)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def active_streams(self) -> Iterator[BoundedHttpStream]:
        """
        Return the requests that are in progress.
        """
        return (
            each
            for each in self.streams.values()
            if isinstance(each, BoundedHttpStream) and each.client_state != each.state_uninitialized
        )

    def is_read_paused(self, connection: Connection) -> bool:
        """
        Check whether nothing more may be read from *connection* for now.

        HTTP/2 connections are always read: their windows limit what the peer sends.
        """
        if connection is self.context.client:
            if isinstance(self._client, BoundedHttp2Server):
                return False
            next_request = len(self._client.buf) if self._client.state == self._client.wait else 0
            return next_request + self._waiting_upstream(self._client.stream_id) > self._limit
        server = self._servers.get(connection)
        if isinstance(server, BoundedHttp1Client) and server.stream_id is not None:
            return self._waiting_downstream(server.stream_id) > self._limit
        return False

    def buffered_bytes(self) -> tuple[int, int]:
        """
        Return the bytes of requests and of responses in memory.
        """
        requests = self._unparsed_client_bytes()
        requests += sum(self._waiting_upstream(each) for each in self.streams)
        responses = sum(self._waiting_downstream(each) for each in self._streams_with_responses())
        for stream in self.active_streams():
            sent, received = stream.buffered_bytes()
            requests, responses = requests + sent, responses + received
        for server in self._servers.values():
            if isinstance(server, BoundedHttp1Client):
                responses += len(server.buf)
            elif isinstance(server, BoundedHttp2Client):
                responses += server.h2_conn.unparsed_bytes()
        return requests, responses

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        yield from super()._handle_event(event)
        if isinstance(event, events.ConnectionClosed):
            self._forget_server(event.connection)
        yield from self._acknowledge()

    def register_connection(self, command: RegisterHttpConnection) -> CommandGenerator[None]:
        """
        Remember the parser of a new connection to a server.
        """
        if command.err is None:
            self._servers[command.connection] = _innermost(self.connections[command.connection])
        yield from super().register_connection(command)

    def get_connection(
        self, event: GetHttpConnection, *, reuse: bool = True
    ) -> CommandGenerator[None]:
        """
        Open a connection, unless too many are being opened.

        Otherwise a client that cancels its requests could ask for any number.
        """
        if len(self.waiting_for_establishment) >= 2 * MAX_STREAMS:
            stream = self.command_sources.pop(event)
            refusal = GetHttpConnectionCompleted(event, (None, _TOO_MANY))
            yield from self.event_to_child(stream, refusal)
            return
        yield from super().get_connection(event, reuse=reuse)

    def _acknowledge(self) -> CommandGenerator[None]:
        """
        Let HTTP/2 peers send as much as has been passed on.
        """
        client = self._client
        if isinstance(client, BoundedHttp2Server) and client.h2_conn.unacknowledged:
            yield from self.event_to_child(client, AcknowledgeData(self._is_upstream_blocked))
        for connection, server in list(self._servers.items()):
            if isinstance(server, BoundedHttp2Client) and server.h2_conn.unacknowledged:
                event = AcknowledgeData(self._is_downstream_blocked(server))
                yield from self.event_to_child(self.connections[connection], event)

    def _is_upstream_blocked(self, stream_id: int) -> bool:
        return self._waiting_upstream(stream_id) > self._limit

    def _is_downstream_blocked(self, server: BoundedHttp2Client) -> Callable[[int], bool]:
        def is_blocked(ours: int) -> bool:
            theirs = server.their_stream_id.get(ours)
            return theirs is not None and self._waiting_downstream(theirs) > self._limit

        return is_blocked

    def _waiting_upstream(self, stream_id: int) -> int:
        """
        Return the bytes of a request that its server does not accept yet.
        """
        stream = self.streams.get(stream_id)
        if not isinstance(stream, BoundedHttpStream):
            return 0
        server = self._servers.get(stream.context.server)
        waiting = stream.waiting_upstream
        if isinstance(server, BoundedHttp2Client):
            waiting += server.waiting_upstream(stream_id)
        return waiting

    def _waiting_downstream(self, stream_id: int) -> int:
        """
        Return the bytes of a response that the client does not accept yet.
        """
        stream = self.streams.get(stream_id)
        waiting = stream.waiting_downstream if isinstance(stream, BoundedHttpStream) else 0
        if isinstance(self._client, BoundedHttp2Server):
            waiting += self._client.h2_conn.waiting(stream_id)
        return waiting

    @property
    def _limit(self) -> int:
        """
        How many bytes of one message may wait: none if the workspace exceeds its limit.
        """
        connection = self._workspace_connection
        over = connection is not None and connection.workspace.is_over_memory_limit
        return 0 if over else BACKLOG_BYTES

    def _unparsed_client_bytes(self) -> int:
        if isinstance(self._client, BoundedHttp2Server):
            return self._client.h2_conn.unparsed_bytes()
        return len(self._client.buf)

    def _streams_with_responses(self) -> set[int]:
        found = set(self.streams)
        if isinstance(self._client, BoundedHttp2Server):
            found.update(self._client.h2_conn.stream_buffers)
        return found

    def _forget_server(self, connection: Connection) -> None:
        """
        Forget the closed connection to a server.

        mitmproxy keeps closed connections while the client stays, with their TLS: one for
        each request from HTTP/2 to HTTP/1.
        """
        if isinstance(connection, Server) and connection.state is ConnectionState.CLOSED:
            self._servers.pop(connection, None)
            if connection not in self.waiting_for_establishment:
                self.connections.pop(connection, None)


def _innermost(layer: Layer) -> Layer:
    while (child := getattr(layer, "child_layer", None)) is not None:
        layer = child
    return layer
