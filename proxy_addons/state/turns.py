"""
Turns: how the workspaces share the one thread of the proxy.

Whatever a workspace sends, its bytes are processed in one thread. A workspace that
uses much of it waits in between, so that others are served.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

__all__ = ["LARGEST_PIECE", "Turn"]

LARGEST_PIECE = 64 * 1024
"""Bytes that are processed at once, if that is quick."""

_SMALLEST_PIECE = 1024
_QUICK = 0.01
_SLOW = 0.04
_LONGEST_WAIT = 0.5


class Turn:
    """
    The time that one workspace has used, and how long it has to wait for that.

    Args:
        clock: returns the time in seconds.

    Attributes:
        piece: bytes of one connection that are processed at once: fewer if they take long.
        waiting: numbers of the readers that hold data until it is the workspace's turn.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._owed_until = 0.0
        self._queue = asyncio.Lock()
        self._numbers = itertools.count()
        self.waiting: set[int] = set()
        self.piece = LARGEST_PIECE

    def charge(self, seconds: float) -> None:
        """
        Note that processing something took *seconds*.
        """
        now = self._clock()
        self._owed_until = min(max(self._owed_until, now) + seconds, now + _LONGEST_WAIT)
        if seconds > _SLOW:
            self.piece = max(_SMALLEST_PIECE, self.piece // 4)
        elif seconds < _QUICK:
            self.piece = min(LARGEST_PIECE, self.piece * 2)

    async def wait(self, is_contended: Callable[[], bool]) -> None:
        """
        Wait until the workspace may use the thread again.

        A workspace that owes time goes on with one connection at a time, after everything else
        that is ready; and only after as much time as it owes if there are other workspaces.

        Args:
            is_contended: whether other workspaces have connections.
        """
        if self._owed() <= _QUICK:
            return
        number = next(self._numbers)
        self.waiting.add(number)
        try:
            async with self._queue:
                if (owed := self._owed()) > _QUICK:
                    await asyncio.sleep(owed if is_contended() else 0)
        finally:
            self.waiting.discard(number)

    def _owed(self) -> float:
        return self._owed_until - self._clock()
