"""
How fast connections are read, and how much of them is kept.

mitmproxy stops reading while a socket takes no more. What waits elsewhere (for
a connection, a decision, the window of an HTTP/2 stream, the rest of a body)
it lets grow. Here that stops the reading, too, and it is added up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from mitmproxy.proxy import events, mode_servers
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from ..state.limits import HELD_BYTES, SILENCE_SECONDS

if TYPE_CHECKING:
    from mitmproxy.connection import Connection

    from ..state.connections import Conversation, Registry, Workspace

__all__ = ["BoundedHandler", "OnFull", "bound_connections"]

OnFull = Callable[["Conversation"], None]
"""Told of a connection that is closed because its workspace has too much in the proxy."""

_READ_BYTES = 64 * 1024
_STEP = 0.05
"""Seconds between looks at what other connections of the workspace may have set free."""


class BoundedHandler(ProxyConnectionHandler):
    """
    A connection of a client, and those to servers that are made for it.

    Args:
        registry: knows the connection.
        on_full: told when it must be closed.
        rest: as mitmproxy has it.
    """

    def __init__(self, registry: Registry, on_full: OnFull, *rest: Any) -> None:
        super().__init__(*rest)  # type: ignore[no-untyped-call]
        self._registry = registry
        self._on_full = on_full
        self._workspace: Workspace | None = None
        self._moved = asyncio.Event()
        self._narrow(self.client)

    async def handle_client(self) -> None:
        """
        Handle the connection until everything has been taken that was sent.
        """
        writer = self.transports[self.client].writer
        await super().handle_client()
        if self._workspace is not None and isinstance(writer, asyncio.StreamWriter):
            await self._linger(writer, self._workspace)

    async def server_event(self, event: events.Event) -> None:
        """
        Let something happen, then look at what it left in memory.
        """
        await super().server_event(event)
        self._moved.set()
        if isinstance(event, events.OpenConnectionCompleted):
            self._narrow(event.command.connection)
        if isinstance(event, events.DataReceived):
            self._weigh()

    def _weigh(self) -> None:
        """
        Add up what is held after something has come, and close the connection
        if that is too much.
        """
        conversation = self._registry.conversation(self.client)
        if conversation is None:
            return
        self._workspace = workspace = conversation.workspace
        conversation.measure = self.held
        conversation.weigh()
        if workspace.requests_held > HELD_BYTES and conversation.requests_held:
            # Others may have let go of something without anything coming.
            self._registry.weigh(workspace)
        if workspace.requests_held > HELD_BYTES and conversation.requests_held:
            self._on_full(conversation)
            if (client := self.transports.get(self.client)) and client.handler:
                client.handler.cancel("too much is held")

    async def drain_writers(self) -> None:
        """
        Wait before more is read: for the sockets, and for what else is stuck.
        """
        await super().drain_writers()  # type: ignore[no-untyped-call]
        task = asyncio.current_task()
        for connection, transport in list(self.transports.items()):
            if transport.handler is task:
                await self._wait(connection)

    async def _wait(self, connection: Connection) -> None:
        conversation = self._registry.conversation(self.client)
        while conversation and any(each.is_stuck(connection) for each in conversation.layers):
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), _STEP)

    def held(self) -> tuple[int, int]:
        """
        Bytes of requests, and of answers, that are in memory.
        """
        requests = answers = 0
        conversation = self._registry.conversation(self.client)
        for each in conversation.layers if conversation else ():
            sent, received = each.held()
            requests, answers = requests + sent, answers + received
        for connection, transport in self.transports.items():
            # What was read from a socket and not yet looked at has no public name.
            unread = len(getattr(transport.reader, "_buffer", b""))
            unsent = _unsent(transport.writer)
            if connection is self.client:
                requests, answers = requests + unread, answers + unsent
            else:
                requests, answers = requests + unsent, answers + unread
        return requests, answers

    async def _linger(self, writer: asyncio.StreamWriter, workspace: Workspace) -> None:
        """
        A closed connection still has what its client does not take. For as
        long as that is so it counts; if it stays so, it is cut off.
        """
        left, held, until = _unsent(writer), 0, time.monotonic() + SILENCE_SECONDS
        if not left:
            return
        workspace.connections += 1
        while left and time.monotonic() < until and self._registry.knows(workspace):
            workspace.answers_held += left - held
            held = left
            await asyncio.sleep(_STEP)
            left = _unsent(writer)
            if left < held:
                until = time.monotonic() + SILENCE_SECONDS
        workspace.answers_held -= held
        workspace.connections -= 1
        if left:
            writer.transport.abort()

    def _narrow(self, connection: Connection) -> None:
        """
        Let less be read ahead: asyncio takes 256 KiB at a time.
        """
        transport = self.transports.get(connection)
        if transport and isinstance(transport.writer, asyncio.StreamWriter):
            vars(transport.writer.transport)["max_size"] = _READ_BYTES
        if transport and isinstance(transport.reader, asyncio.StreamReader):
            vars(transport.reader)["_limit"] = _READ_BYTES // 2


def bound_connections(registry: Registry, on_full: OnFull) -> None:
    """
    Let mitmproxy handle connections that way.
    """
    vars(mode_servers)["ProxyConnectionHandler"] = partial(BoundedHandler, registry, on_full)


def _unsent(writer: Any) -> int:
    return writer.transport.get_write_buffer_size() if writer is not None else 0
