"""
Look-ups over TCP: a few short connections for each workspace.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..state.limits import MAX_DNS_CONNECTIONS
from ..state.process_lookup import is_connected
from .query_source import QuerySource

if TYPE_CHECKING:
    from ..state.connections import ConnectionRegistry, RegisteredWorkspace

__all__ = ["TcpLookups"]

_MESSAGE_SECONDS = 5.0
_STREAM_SECONDS = 30.0

Reply = Callable[[bytes, str, "QuerySource"], "bytes | asyncio.Task[bytes] | None"]


class _Stream:
    """
    One connection.

    Attributes:
        last_activity: when the last message was read, on the monotonic clock.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.last_activity = time.monotonic()

    def source(self) -> QuerySource:
        """
        Return where its messages come from.
        """
        names = (self.writer.get_extra_info(name)[:2] for name in ("peername", "sockname"))
        return QuerySource("tcp", *names, lambda: is_connected(self.writer.transport))


class TcpLookups:
    """
    The connections that look-ups come by.

    Args:
        registry: knows the workspaces.
        reply: returns the response to a message of an address, `None` for none.
        log_limit: logs that a workspace reached the limit; called again only after half
            of its connections have ended.

    Attributes:
        sentinels: connections that a barrier opens, by their own address.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        reply: Reply,
        log_limit: Callable[[RegisteredWorkspace], None],
    ) -> None:
        self._registry = registry
        self._reply = reply
        self._crowded = log_limit
        self._open: defaultdict[RegisteredWorkspace, set[_Stream]] = defaultdict(set)
        self._limit_logged: set[RegisteredWorkspace] = set()
        self.sentinels: dict[tuple[str, int], Callable[[], None]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Respond to the messages of one connection.
        """
        peer = writer.get_extra_info("peername")[:2]
        try:
            if arrived := self.sentinels.pop(peer, None):
                arrived()
            elif workspace := self._accepting(peer[0]):
                await self._serve_stream(reader, _Stream(writer), workspace)
        finally:
            # Do not wait for a client that does not read its responses.
            writer.transport.abort() if _has_unsent_data(writer) else writer.close()

    def last_activity(self, workspace: RegisteredWorkspace) -> float:
        """
        Return when an open connection of a workspace was last active, on the monotonic clock;
        0 if there is none.
        """
        return max((stream.last_activity for stream in self._open.get(workspace, ())), default=0.0)

    def count(self, address: str) -> int:
        """
        Return how many connections of *address*, of whichever owner, are open.
        """
        return sum(len(some) for owner, some in self._open.items() if owner.address == address)

    def disconnect(self, address: str) -> None:
        """
        Close every connection of *address*.
        """
        for owner, streams in self._open.items():
            if owner.address == address:
                for stream in streams:
                    stream.writer.transport.abort()

    def _accepting(self, address: str) -> RegisteredWorkspace | None:
        workspace = self._registry.workspace(address)
        if workspace is None or len(self._open.get(workspace, ())) < MAX_DNS_CONNECTIONS:
            return workspace
        if workspace not in self._limit_logged:
            self._limit_logged.add(workspace)
            self._crowded(workspace)
        return None

    async def _serve_stream(
        self, reader: asyncio.StreamReader, stream: _Stream, workspace: RegisteredWorkspace
    ) -> None:
        self._open[workspace].add(stream)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(_STREAM_SECONDS):
                    while await self._respond(reader, stream, workspace):
                        stream.last_activity = time.monotonic()
        finally:
            streams = self._open[workspace]
            streams.discard(stream)
            if len(streams) < MAX_DNS_CONNECTIONS // 2:
                self._limit_logged.discard(workspace)
            if not streams:
                del self._open[workspace]

    async def _respond(
        self, reader: asyncio.StreamReader, stream: _Stream, workspace: RegisteredWorkspace
    ) -> bool:
        async with asyncio.timeout(_MESSAGE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            message = await reader.readexactly(length)
            if not self._registry.is_registered(workspace):
                # What is left of an owner is not its successor's.
                return False
            reply = self._reply(message, workspace.address, stream.source())
            if isinstance(reply, asyncio.Task):
                reply = await reply
            if reply is None:
                return False
            stream.writer.write(len(reply).to_bytes(2, "big") + reply)
            await stream.writer.drain()
            return True


def _has_unsent_data(writer: asyncio.StreamWriter) -> bool:
    return writer.transport.get_write_buffer_size() > 0
