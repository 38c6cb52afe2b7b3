"""
Waiting until what a workspace has sent so far is in the log.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .recorder import Recorder
    from .registry import Registry

__all__ = ["Barrier"]

_TICKS = 20
"""Rounds of the event loop for bytes that have been received to take effect."""

_GRACE = 0.1
"""Seconds a connection without a request may stand still before it is idle."""

_STEP = 0.002


class Barrier:
    """
    Connects to the proxy's own port, behind every connection made before,
    then waits for requests that have no end yet.

    Args:
        registry: knows the connections.
        recorder: knows the requests.
        address: where the proxy listens.
    """

    def __init__(self, registry: Registry, recorder: Recorder, address: tuple[str, int]) -> None:
        self._registry = registry
        self._recorder = recorder
        self._address = address

    async def wait(self, address: str, seconds: float) -> bool:
        """
        Wait for *address*, at most *seconds*.

        Returns:
            Whether everything is in the log. An idle connection is no
            obstacle, a request that waits for its answer is.
        """
        deadline = time.monotonic() + seconds
        try:
            await asyncio.wait_for(self._pass_queue(), max(seconds, 0.05))
        except (OSError, TimeoutError):
            return False
        while not self._settled(address):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_STEP)
        return True

    def _settled(self, address: str) -> bool:
        fresh = time.monotonic() - _GRACE
        return not self._recorder.in_flight(address) and not any(
            each.undecided and each.moved > fresh for each in self._registry.conversations(address)
        )

    async def _pass_queue(self) -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sentinel:
            sentinel.settimeout(0)
            sentinel.bind((self._address[0], 0))
            own = sentinel.getsockname()
            self._registry.expected[own] = arrived.set
            try:
                await loop.sock_connect(sentinel, self._address)
                await arrived.wait()
            finally:
                self._registry.expected.pop(own, None)
        for _ in range(_TICKS):
            await asyncio.sleep(0)
