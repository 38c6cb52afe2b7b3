"""Calls that block, in threads, for asyncio and trio."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import TypeVar

from ..errors import WorkspaceLost

__all__ = ["BlockingNotice", "Ending", "without_blocking"]

T = TypeVar("T")

_PATIENCE = 10.0


async def without_blocking(
    work: Callable[[], T], stop: Callable[[], object] | None, *, shielded: bool = False
) -> T:
    """
    Run *work* in a thread of its own, and wait for it without blocking the event loop.

    Args:
        work: what blocks.
        stop: makes *work* return soon. It is called if the wait is cancelled, which then waits for
            the end of *work* for some seconds. With `None`, *work* goes on by itself.
        shielded: wait for the end of *work* in any case.

    Raises:
        ModuleNotFoundError: anyio is not installed.
    """
    anyio = _anyio()
    over = threading.Event()

    def run() -> T:
        try:
            return work()
        finally:
            over.set()

    # Not anyio's own limit: 40 commands that wait for each other would wait for ever.
    limiter = anyio.CapacityLimiter(2)
    with anyio.CancelScope(shield=shielded):
        try:
            found: T = await anyio.to_thread.run_sync(
                run, limiter=limiter, abandon_on_cancel=not shielded
            )
            return found
        except anyio.get_cancelled_exc_class():
            if stop is None:
                raise
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_stop, stop, over, limiter=limiter)
            raise
    raise AssertionError("a shielded wait was cancelled")


def _stop(stop: Callable[[], object], over: threading.Event) -> None:
    with suppress(WorkspaceLost):
        stop()
    over.wait(_PATIENCE)


def _anyio() -> ModuleType:
    try:
        import anyio
        import anyio.to_thread
    except ModuleNotFoundError as error:
        if error.name != "anyio":
            raise
        raise ModuleNotFoundError(
            "the asynchronous calls of a workspace need anyio: pip install "
            "'pytest-codex-workspace[async]'",
            name="anyio",
        ) from None
    return anyio


class Ending:
    """
    Ends a command from another thread, also one that has not begun yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None
        self._asked = False

    def begin(self, end: Callable[[], object]) -> None:
        """
        Take the function that ends the command, and call it if the end was asked for before.
        """
        with self._lock:
            self._end = end
            asked = self._asked
        if asked:
            end()

    def ask(self) -> None:
        """
        End the command, now or as soon as it begins.
        """
        with self._lock:
            self._asked = True
            end = self._end
        if end is not None:
            end()


class BlockingNotice:
    """
    Warns, once, that a call blocks the event loop which runs in this thread.
    """

    def __init__(self) -> None:
        self._told = False

    def check(self, call: str, instead: str) -> None:
        """
        Warn if an event loop runs in this thread.

        Args:
            call: what blocks.
            instead: what does not.
        """
        if self._told or not _in_event_loop():
            return
        self._told = True
        warnings.warn(
            f"{call} blocks the event loop of this thread until it returns: use `{instead}`",
            RuntimeWarning,
            stacklevel=_frames_of_ours(),
        )


def _in_event_loop() -> bool:
    # What was not imported does not run.
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    return trio is not None and _in_trio(trio)


def _in_trio(trio: ModuleType) -> bool:
    # `in_trio_run` came with trio 0.28.
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def _frames_of_ours() -> int:
    """
    Return the level of the first frame that is not of this package.
    """
    package, level, frame = __name__.partition(".")[0], 2, sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    return level
