"""
Waiting until what a workspace has sent so far is in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dns.resolver import Resolver
    from .record.request_log import Recorder
    from .state.connections import Registry

__all__ = ["Barrier"]

_TICKS = 20
"""Rounds of the event loop for bytes that have been received to take effect."""

_GRACE = 0.1
"""Seconds a connection without a request may stand still before it is idle."""

_STEP = 0.002

_AGAIN = 0.05
"""Seconds after which a datagram is taken for lost."""

Expected = dict[tuple[str, int], Callable[[], None]]


class Barrier:
    """
    Connects to the proxy's own ports, behind every connection made before,
    sends a datagram behind all others, then waits for requests that have no
    end yet.

    Args:
        registry: knows the connections.
        recorder: knows the requests.
        resolver: knows the look-ups.
        address: where the proxy listens.
        dns_port: where the resolver listens, at the same address.
    """

    def __init__(
        self,
        registry: Registry,
        recorder: Recorder,
        resolver: Resolver,
        address: tuple[str, int],
        dns_port: int,
    ) -> None:
        self._registry = registry
        self._recorder = recorder
        self._resolver = resolver
        self._address = address
        self._dns = address[0], dns_port

    async def wait(self, address: str, seconds: float) -> bool:
        """
        Wait for *address*, at most *seconds*.

        Returns:
            Whether everything is in the log. An idle connection is no
            obstacle, a request that waits for its answer is.
        """
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(max(seconds, 0.05)):
                await self._pass_queues()
        except OSError:
            return False
        while not self._settled(address):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_STEP)
        return True

    def _settled(self, address: str) -> bool:
        fresh = time.monotonic() - _GRACE
        return (
            not self._recorder.in_flight(address)
            and self._resolver.streams.moved(address) <= fresh
            and not any(
                each.undecided and each.moved > fresh
                for each in self._registry.conversations(address)
            )
        )

    async def _pass_queues(self) -> None:
        await asyncio.gather(
            self._connect(self._address, self._registry.expected),
            self._connect(self._dns, self._resolver.streams.expected),
            self._send(),
        )
        for _ in range(_TICKS):
            await asyncio.sleep(0)

    async def _connect(self, to: tuple[str, int], expected: Expected) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sentinel:
            sentinel.settimeout(0)
            sentinel.bind((to[0], 0))
            with _awaiting(sentinel, expected) as arrived:
                await loop.sock_connect(sentinel, to)
                await arrived.wait()

    async def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sentinel:
            sentinel.settimeout(0)
            sentinel.bind((self._dns[0], 0))
            with _awaiting(sentinel, self._resolver.expected) as arrived:
                # Where there is no room for it there will be.
                while not arrived.is_set():
                    with contextlib.suppress(BlockingIOError):
                        sentinel.sendto(b"", self._dns)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(arrived.wait(), _AGAIN)


@contextlib.contextmanager
def _awaiting(sentinel: socket.socket, expected: Expected) -> Iterator[asyncio.Event]:
    arrived = asyncio.Event()
    own = sentinel.getsockname()
    expected[own] = arrived.set
    try:
        yield arrived
    finally:
        expected.pop(own, None)
