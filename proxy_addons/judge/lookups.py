"""
Looking up names without keeping other workspaces waiting.

A look-up takes a thread until the name server has answered or given up, and
nothing ends it earlier. So a workspace has a few at a time, and what nobody
waits for any more still counts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

from ..state.limits import LOOKUPS

__all__ = ["LOOKUP_SECONDS", "Lookups"]

LOOKUP_SECONDS = 20.0
"""Seconds that a connection waits for its name: a dead name server costs 5 to 10."""

Infos = list[Any]


class Lookups:
    """
    Counts the look-ups of each workspace.
    """

    def __init__(self) -> None:
        self._permits: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(LOOKUPS)
        )

    async def run(
        self, address: str, lookup: Coroutine[Any, Any, Infos], seconds: float = LOOKUP_SECONDS
    ) -> Infos:
        """
        Carry out *lookup* for the workspace at *address*.

        Raises:
            OSError: it fails, or takes more than *seconds*, waiting for its
                turn included.
        """
        permit = self._permits[address]
        try:
            async with asyncio.timeout(seconds):
                try:
                    await permit.acquire()
                except BaseException:
                    lookup.close()
                    raise
                return await asyncio.shield(self._task(permit, lookup))
        except TimeoutError:
            raise OSError(f"its name could not be looked up within {seconds:g} s") from None

    @staticmethod
    def _task(permit: asyncio.Semaphore, lookup: Coroutine[Any, Any, Infos]) -> asyncio.Task[Infos]:
        def end(task: asyncio.Task[Infos]) -> None:
            permit.release()
            if not task.cancelled():
                task.exception()

        task = asyncio.ensure_future(lookup)
        task.add_done_callback(end)
        return task
