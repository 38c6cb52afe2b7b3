"""
How fast connections are read, and how much of them is kept in memory.

mitmproxy stops reading while a socket accepts no more. Data that waits elsewhere
(for a connection, a decision, the window of an HTTP/2 stream, the rest of a body)
grows without limit. Here that stops the reading, too, and counts against the
memory limit of the workspace.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from mitmproxy.proxy import events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from ..state.limits import IDLE_SECONDS, MAX_BUFFERED_BYTES
from ..state.turns import LARGEST_PIECE
from .private import limit_read_ahead, unread_bytes

if TYPE_CHECKING:
    from mitmproxy.connection import Connection

    from ..state.connections import ConnectionRegistry, RegisteredWorkspace, WorkspaceConnection

__all__ = ["BoundedConnectionHandler", "OnMemoryLimit"]

OnMemoryLimit = Callable[["WorkspaceConnection"], None]
"""Logs a connection that is closed because its workspace exceeds the memory limit."""

_STEP = 0.05
"""Seconds between checks whether other connections of the workspace have freed memory."""


class BoundedConnectionHandler(ProxyConnectionHandler):
    """
    A client's connection, and the connections to servers that are opened for it.

    Args:
        registry: knows the connection.
        on_memory_limit: called before the connection is closed because of the limit.
        rest: arguments of mitmproxy's class.
    """

    def __init__(
        self, registry: ConnectionRegistry, on_memory_limit: OnMemoryLimit, *rest: Any
    ) -> None:
        super().__init__(*rest)  # type: ignore[no-untyped-call]
        self._registry = registry
        self._on_memory_limit = on_memory_limit
        self._workspace: RegisteredWorkspace | None = None
        self._progress = asyncio.Event()
        self._prepare(self.client)

    async def handle_client(self) -> None:
        """
        Handle the connection until the client has read everything that was sent.
        """
        writer = self.transports[self.client].writer
        await super().handle_client()
        if self._workspace is not None and isinstance(writer, asyncio.StreamWriter):
            await self._linger(writer, self._workspace)

    async def server_event(self, event: events.Event) -> None:
        """
        Process an event, then measure what it left in memory.
        """
        started = time.thread_time()
        await super().server_event(event)
        if connection := self._registry.connection(self.client):
            connection.workspace.turn.charge(time.thread_time() - started)
        self._progress.set()
        if isinstance(event, events.OpenConnectionCompleted):
            self._prepare(event.command.connection)
        if isinstance(event, events.DataReceived):
            self._enforce_memory_limit()

    def _enforce_memory_limit(self) -> None:
        """
        Measure the connection, and close it if the workspace exceeds the limit.
        """
        connection = self._registry.connection(self.client)
        if connection is None:
            return
        self._workspace = workspace = connection.workspace
        connection.measure = self.buffered_bytes
        connection.update_usage()
        if workspace.request_bytes > MAX_BUFFERED_BYTES and connection.request_bytes:
            # Other connections may have freed memory without any event.
            self._registry.update_usage(workspace)
        if workspace.request_bytes > MAX_BUFFERED_BYTES and connection.request_bytes:
            self._on_memory_limit(connection)
            if (client := self.transports.get(self.client)) and client.handler:
                client.handler.cancel("memory limit")

    async def drain_writers(self) -> None:
        """
        Wait before more is read: for the sockets, and for data that waits elsewhere.
        """
        await super().drain_writers()  # type: ignore[no-untyped-call]
        task = asyncio.current_task()
        for connection, transport in list(self.transports.items()):
            if transport.handler is task:
                await self._wait_while_paused(connection)

    async def _wait_while_paused(self, side: Connection) -> None:
        connection = self._registry.connection(self.client)
        while connection and (
            (connection.held is not None and side is self.client)
            or any(each.is_read_paused(side) for each in connection.http_layers)
        ):
            self._progress.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._progress.wait(), _STEP)

    def buffered_bytes(self) -> tuple[int, int]:
        """
        Return the bytes of requests and of responses in memory.
        """
        requests = responses = 0
        connection = self._registry.connection(self.client)
        for each in connection.http_layers if connection else ():
            sent, received = each.buffered_bytes()
            requests, responses = requests + sent, responses + received
        for side, transport in self.transports.items():
            reader = transport.reader
            unread = reader.unread() if isinstance(reader, _PacedReader) else unread_bytes(reader)
            unsent = _unsent_bytes(transport.writer)
            if side is self.client:
                requests, responses = requests + unread, responses + unsent
            else:
                requests, responses = requests + unsent, responses + unread
        return requests, responses

    async def _linger(self, writer: asyncio.StreamWriter, workspace: RegisteredWorkspace) -> None:
        """
        Count a closed connection for as long as its client reads what is left.

        A client that stops reading is disconnected.
        """
        left, counted, until = _unsent_bytes(writer), 0, time.monotonic() + IDLE_SECONDS
        if not left:
            return
        workspace.open_connections += 1
        while left and time.monotonic() < until and self._registry.is_registered(workspace):
            workspace.response_bytes += left - counted
            counted = left
            await asyncio.sleep(_STEP)
            left = _unsent_bytes(writer)
            if left < counted:
                until = time.monotonic() + IDLE_SECONDS
        workspace.response_bytes -= counted
        workspace.open_connections -= 1
        if left:
            writer.transport.abort()

    def _prepare(self, side: Connection) -> None:
        """
        Read a connection with little read-ahead, and only when it is the workspace's turn.
        """
        if (transport := self.transports.get(side)) and transport.reader is not None:
            limit_read_ahead(transport.reader, transport.writer, LARGEST_PIECE)
            transport.reader = cast("Any", _PacedReader(transport.reader, self._wait, self._piece))

    async def _wait(self) -> None:
        if connection := self._registry.connection(self.client):
            workspace = connection.workspace
            await workspace.turn.wait(lambda: self._registry.has_others(workspace))

    def _piece(self) -> int:
        connection = self._registry.connection(self.client)
        return connection.workspace.turn.piece if connection else LARGEST_PIECE


class _PacedReader:
    """
    A reader whose data arrives when it is the workspace's turn.

    Args:
        reader: asyncio's reader, or another one of mitmproxy's.
        wait: waits for the turn.
        piece: returns how many bytes may be processed at once.
    """

    def __init__(
        self, reader: Any, wait: Callable[[], Awaitable[None]], piece: Callable[[], int]
    ) -> None:
        self._reader = reader
        self._wait = wait
        self._piece = piece
        self._held = b""

    def unread(self) -> int:
        """
        Return the number of bytes that were read from the socket and not yet processed.
        """
        return unread_bytes(self._reader) + len(self._held)

    async def read(self, size: int) -> bytes:
        """
        Return some bytes, none at the end.
        """
        self._held = await self._reader.read(min(size, self._piece()))
        await self._wait()
        data, self._held = self._held, b""
        return data


def _unsent_bytes(writer: Any) -> int:
    return writer.transport.get_write_buffer_size() if writer is not None else 0
