"""
Wait until everything that a workspace has sent so far is in the log.
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
    from .record.request_log import RequestLogger
    from .state.connections import ConnectionRegistry

__all__ = ["LogBarrier"]

_TICKS = 20
"""Rounds of the event loop after which received bytes have been processed."""

_IDLE_SECONDS = 0.1
"""Seconds without progress after which a connection without a request counts as idle."""

_STEP_SECONDS = 0.002

_RETRY_SECONDS = 0.05
"""Seconds after which a datagram counts as lost."""

Expected = dict[tuple[str, int], Callable[[], None]]


class LogBarrier:
    """
    Connect to the proxy's own ports behind every earlier connection, send a
    datagram behind all others, then wait for requests that have not ended yet.

    Args:
        registry: knows the connections.
        request_logger: knows the requests.
        resolver: knows the look-ups.
        address: where the proxy listens.
        dns_port: where the resolver listens, at the same address.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        request_logger: RequestLogger,
        resolver: Resolver,
        address: tuple[str, int],
        dns_port: int,
    ) -> None:
        self._registry = registry
        self._request_logger = request_logger
        self._resolver = resolver
        self._address = address
        self._dns = address[0], dns_port

    async def wait(self, address: str, seconds: float) -> bool:
        """
        Wait for *address*, at most *seconds*.

        Returns:
            Whether everything is in the log. An idle connection does not matter, a
            request that waits for its response does.
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
            await asyncio.sleep(_STEP_SECONDS)
        return True

    def _settled(self, address: str) -> bool:
        fresh = time.monotonic() - _IDLE_SECONDS
        return (
            not self._request_logger.in_flight(address)
            and self._resolver.tcp.last_activity(address) <= fresh
            and not any(
                each.awaits_request and each.last_activity > fresh
                for each in self._registry.connections(address)
            )
        )

    async def _pass_queues(self) -> None:
        await asyncio.gather(
            self._connect(self._address, self._registry.sentinels),
            self._connect(self._dns, self._resolver.tcp.sentinels),
            self._send(),
        )
        for _ in range(_TICKS):
            await asyncio.sleep(0)

    async def _connect(self, to: tuple[str, int], sentinels: Expected) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sentinel:
            sentinel.settimeout(0)
            sentinel.bind((to[0], 0))
            with _awaiting(sentinel, sentinels) as arrived:
                await loop.sock_connect(sentinel, to)
                await arrived.wait()

    async def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sentinel:
            sentinel.settimeout(0)
            sentinel.bind((self._dns[0], 0))
            with _awaiting(sentinel, self._resolver.sentinels) as arrived:
                # Try again when the queue of the socket is full.
                while not arrived.is_set():
                    with contextlib.suppress(BlockingIOError):
                        sentinel.sendto(b"", self._dns)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(arrived.wait(), _RETRY_SECONDS)


@contextlib.contextmanager
def _awaiting(sentinel: socket.socket, sentinels: Expected) -> Iterator[asyncio.Event]:
    arrived = asyncio.Event()
    own = sentinel.getsockname()
    sentinels[own] = arrived.set
    try:
        yield arrived
    finally:
        sentinels.pop(own, None)
