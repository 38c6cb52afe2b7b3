"""
Wait until everything that a workspace has sent so far is in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .state.limits import PROCESS_LOOKUP_SECONDS

if TYPE_CHECKING:
    from .dns.resolver import Resolver
    from .record.request_log import RequestLogger
    from .state.connections import ConnectionRegistry, RegisteredWorkspace, WorkspaceConnection

__all__ = ["QUEUE_SECONDS", "BarrierResult", "LogBarrier"]

QUEUE_SECONDS = 60.0
"""Seconds after which it counts as unknown what waits in the queues of the proxy's ports."""

_TICKS = 20
"""Rounds of the event loop after which received bytes have been processed."""

_IDLE_SECONDS = 0.1
"""Seconds without progress after which a connection without a request counts as idle."""

_STEP_SECONDS = 0.002
_LONGEST_STEP_SECONDS = 0.05

Expected = dict[tuple[str, int], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class BarrierResult:
    """
    What a barrier has found.

    Attributes:
        passed: everything that had arrived at the proxy was read. Otherwise nothing can be
            said about the log.
        complete: every request that was read has ended, too.
    """

    passed: bool
    complete: bool


class LogBarrier:
    """
    Connect to the proxy's own ports behind every earlier connection, read every earlier
    datagram, then wait for requests that have not ended yet.

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

    async def pass_queues(
        self, workspace: RegisteredWorkspace, seconds: float = QUEUE_SECONDS
    ) -> bool:
        """
        Wait until everything that has arrived from *workspace* so far was read, at most *seconds*.

        Returns:
            Whether it was read.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._pass_queues()
                await self._pass_turns(workspace)
        except OSError:
            return False
        return True

    async def wait(
        self, workspace: RegisteredWorkspace, seconds: float, queue_seconds: float = QUEUE_SECONDS
    ) -> BarrierResult:
        """
        Wait for what *workspace* has sent until now.

        An idle connection does not matter, a request without its response does. Each is waited
        for only once: a later barrier does not wait again for what has already taken *seconds*.
        What begins after the queues were passed is not waited for, unless it is on a connection
        that was open by then.

        Args:
            workspace: who has sent it.
            seconds: the limit for requests and connections.
            queue_seconds: the limit for the queues of the proxy's ports.
        """
        if not await self.pass_queues(workspace, queue_seconds):
            return BarrierResult(passed=False, complete=False)
        known = {each.client.id: each for each in self._registry.connections_of(workspace)}
        lookups_until = time.monotonic() + min(seconds, _IDLE_SECONDS)
        # A refusal that is held is logged by then, whatever comes meanwhile.
        held_until = time.monotonic() + min(seconds, PROCESS_LOOKUP_SECONDS)
        deadline, step = time.monotonic() + seconds, _STEP_SECONDS
        while True:
            now = time.monotonic()
            starts = [*self._open(workspace, known, now)]
            if workspace.process_lookups and now < held_until:
                starts.append(now)
            lookups = (
                now < lookups_until
                and self._resolver.tcp.last_activity(workspace) > now - _IDLE_SECONDS
            )
            if not starts and not lookups:
                return BarrierResult(passed=True, complete=True)
            patient = any(start + seconds > now for start in starts) or lookups
            if now >= deadline or not patient:
                return BarrierResult(passed=True, complete=False)
            await asyncio.sleep(step)
            step = min(step * 1.2, _LONGEST_STEP_SECONDS)

    def _open(
        self, workspace: RegisteredWorkspace, known: dict[str, WorkspaceConnection], now: float
    ) -> Iterator[float]:
        """
        Yield since when a barrier waits for each request and connection that has not ended.
        """
        for entry in self._request_logger.open_requests(workspace):
            if entry.flow.client_conn.id in known:
                entry.awaited_since = entry.awaited_since or now
                yield entry.awaited_since
        for connection in known.values():
            if connection.awaits_request and connection.last_activity > now - _IDLE_SECONDS:
                connection.awaited_since = connection.awaited_since or now
                yield connection.awaited_since

    async def _pass_queues(self) -> None:
        await asyncio.gather(
            self._connect(self._address, self._registry.sentinels),
            self._connect(self._dns, self._resolver.tcp.sentinels),
            self._resolver.pass_datagrams(),
        )
        for _ in range(_TICKS):
            await asyncio.sleep(0)

    async def _pass_turns(self, workspace: RegisteredWorkspace) -> None:
        """
        Wait for the readers that hold data now, until it is the workspace's turn.
        """
        holding = set(workspace.turn.waiting)
        while not holding.isdisjoint(workspace.turn.waiting):
            await asyncio.sleep(_STEP_SECONDS)
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


@contextlib.contextmanager
def _awaiting(sentinel: socket.socket, sentinels: Expected) -> Iterator[asyncio.Event]:
    arrived = asyncio.Event()
    own = sentinel.getsockname()
    sentinels[own] = arrived.set
    try:
        yield arrived
    finally:
        sentinels.pop(own, None)
