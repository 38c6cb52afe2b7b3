"""
Look-ups over TCP: a few connections for each workspace, and not for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..state.limits import DNS_CONNECTIONS

if TYPE_CHECKING:
    from ..state.connections import Registry, Workspace

__all__ = ["Streams"]

_MESSAGE_SECONDS = 5.0
_STREAM_SECONDS = 30.0

Reply = Callable[[bytes, str], "bytes | None"]


class _Stream:
    """
    One connection; `moved` is when a message of it was last read.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.moved = time.monotonic()


class Streams:
    """
    The connections that look-ups come by.

    Args:
        registry: knows the workspaces.
        reply: answers a message of an address.
        crowded: told when a workspace has as many as it may, once until half
            of them are gone.
    """

    def __init__(
        self, registry: Registry, reply: Reply, crowded: Callable[[Workspace], None]
    ) -> None:
        self._registry = registry
        self._reply = reply
        self._crowded = crowded
        self._open: defaultdict[str, set[_Stream]] = defaultdict(set)
        self._told: set[str] = set()
        self.expected: dict[tuple[str, int], Callable[[], None]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Answer what comes by one connection.
        """
        peer = writer.get_extra_info("peername")[:2]
        try:
            if arrived := self.expected.pop(peer, None):
                arrived()
            elif self._admits(peer[0]):
                await self._answer(reader, _Stream(writer), peer[0])
        finally:
            # What a client does not take is no reason to keep the connection.
            writer.transport.abort() if _is_stuck(writer) else writer.close()

    def moved(self, address: str) -> float:
        """
        When a connection that is still open was last heard of, on the monotonic clock.
        """
        return max((stream.moved for stream in self._open.get(address, ())), default=0.0)

    def cut_off(self, address: str) -> None:
        """
        Close every connection of *address*.
        """
        for stream in self._open.get(address, ()):
            stream.writer.transport.abort()

    def _admits(self, address: str) -> bool:
        workspace, count = self._registry.workspace(address), len(self._open.get(address, ()))
        if workspace is None:
            return False
        if count < DNS_CONNECTIONS:
            return True
        if address not in self._told:
            self._told.add(address)
            self._crowded(workspace)
        return False

    async def _answer(self, reader: asyncio.StreamReader, stream: _Stream, address: str) -> None:
        self._open[address].add(stream)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(_STREAM_SECONDS):
                    while await self._one(reader, stream, address):
                        stream.moved = time.monotonic()
        finally:
            streams = self._open[address]
            streams.discard(stream)
            if len(streams) < DNS_CONNECTIONS // 2:
                self._told.discard(address)
            if not streams:
                del self._open[address]

    async def _one(self, reader: asyncio.StreamReader, stream: _Stream, address: str) -> bool:
        async with asyncio.timeout(_MESSAGE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            reply = self._reply(await reader.readexactly(length), address)
            if reply is None:
                return False
            stream.writer.write(len(reply).to_bytes(2, "big") + reply)
            await stream.writer.drain()
            return True


def _is_stuck(writer: asyncio.StreamWriter) -> bool:
    return writer.transport.get_write_buffer_size() > 0
