"""
The conversation with the host: one JSON object a line, on standard input and
output.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Control", "Handler"]

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Handler = Callable[[Message], Message | Awaitable[Message]]
"""Carries out an operation. Those that need no waiting take effect in order."""


class Control:
    """
    Reads messages in a thread of its own, so that the end of input ends the
    program at once, however busy it is.

    Args:
        on_end: called just before the program ends.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._handlers: dict[str, Handler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        # Nothing but the protocol may get to the host's ears.
        self._output = os.dup(1)
        os.set_blocking(self._output, True)
        os.dup2(2, 1)
        threading.Thread(target=self._read, name="control", daemon=True).start()

    def serve(self, handlers: dict[str, Handler]) -> None:
        """
        Begin to carry out messages, those that have come already first.
        """
        self.allow(handlers)
        with self._lock:
            self._loop = asyncio.get_running_loop()
            waiting, self._waiting = self._waiting, []
        for line in waiting:
            self._loop.call_soon(self._take, line)

    def allow(self, handlers: dict[str, Handler]) -> None:
        """
        Understand further operations.
        """
        self._handlers.update(handlers)

    def forbid(self, operation: str) -> None:
        """
        Understand *operation* no longer.
        """
        del self._handlers[operation]

    def emit(self, message: Message) -> None:
        """
        Send *message* to the host. Messages arrive in the order of the calls.
        """
        data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        try:
            while data:
                data = data[os.write(self._output, data) :]
        except OSError:
            self._end()

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            with self._lock:
                if self._loop is None:
                    self._waiting.append(line)
                    continue
            self._loop.call_soon_threadsafe(self._take, line)
        self._end()

    def _end(self) -> None:
        try:
            self._on_end()
        finally:
            os._exit(0)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            number, operation = message["id"], message["op"]
        except (ValueError, TypeError, KeyError) as error:
            logger.error("a message from the host makes no sense: %r", error)
            return
        try:
            if operation not in self._handlers:
                raise ValueError(f"{operation!r} is not understood at this point")
            result = self._handlers[operation](message)
        except Exception as error:
            self._fail(number, error)
            return
        if isinstance(result, dict):
            self.emit({"reply": number, **result})
            return
        task = asyncio.ensure_future(self._finish(number, result))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, number: int, result: Awaitable[Message]) -> None:
        try:
            self.emit({"reply": number, **await result})
        except Exception as error:
            self._fail(number, error)

    def _fail(self, number: int, error: Exception) -> None:
        if not isinstance(error, (ValueError, OSError)):
            logger.error("an operation failed", exc_info=error)
        self.emit({"reply": number, "error": str(error) or type(error).__name__})
