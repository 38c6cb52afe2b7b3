"""
Look up names without keeping other workspaces waiting.

A look-up occupies a thread until the name server responds or times out; nothing ends
it earlier. So each workspace may use only a few threads, and an abandoned look-up
still counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakValueDictionary

from ..state.limits import MAX_LOOKUPS

__all__ = ["LOOKUP_SECONDS", "LookupLimiter"]

LOOKUP_SECONDS = 20.0
"""Seconds that a connection waits for its name; a dead name server takes 5 to 10."""

Infos = list[Any]


class LookupLimiter:
    """
    Limit the concurrent look-ups of each workspace.
    """

    def __init__(self) -> None:
        # Kept while somebody holds or awaits a permit, so that ended workspaces leave nothing.
        self._permits: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(
        self, workspace: str, lookup: Coroutine[Any, Any, Infos], seconds: float = LOOKUP_SECONDS
    ) -> Infos:
        """
        Carry out *lookup* for a workspace.

        Args:
            workspace: who asks for it. Its successor at the same address has permits of its own.
            lookup: the look-up.
            seconds: the time limit, including the wait for a free thread.

        Raises:
            OSError: the look-up failed or exceeded the time limit.
        """
        permit = self._permits.setdefault(workspace, asyncio.Semaphore(MAX_LOOKUPS))
        try:
            async with asyncio.timeout(seconds):
                try:
                    await permit.acquire()
                except BaseException:
                    lookup.close()
                    raise
                return await asyncio.shield(self._task(permit, lookup))
        except TimeoutError:
            raise OSError(f"the name was not resolved within {seconds:g} s") from None

    @staticmethod
    def _task(permit: asyncio.Semaphore, lookup: Coroutine[Any, Any, Infos]) -> asyncio.Task[Infos]:
        def end(task: asyncio.Task[Infos]) -> None:
            permit.release()
            if not task.cancelled():
                task.exception()

        task = asyncio.ensure_future(lookup)
        task.add_done_callback(end)
        return task
