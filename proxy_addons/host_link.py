"""
The messages between the proxy and the host: one JSON object a line, on standard input
and output.
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

__all__ = ["LINE_BYTES", "HostLink", "OperationHandler"]

logger = logging.getLogger(__name__)

LINE_BYTES = 1_000_000
"""Bytes in the longest line that is sent. The host accepts a little more."""

HostMessage = dict[str, Any]
OperationHandler = Callable[[HostMessage], HostMessage | Awaitable[HostMessage]]
"""Carries out an operation. Operations that do not wait are carried out in order."""


class HostLink:
    """
    Receive operations from the host, and send events and replies.

    A thread of its own reads the messages, so that the end of input ends the program
    at once, however busy it is.

    Args:
        on_end: called just before the program ends.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._handlers: dict[str, OperationHandler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        # Only the protocol may use standard output; everything else goes to standard error.
        self._output = os.dup(1)
        os.set_blocking(self._output, True)
        os.dup2(2, 1)
        threading.Thread(target=self._read, name="control", daemon=True).start()

    def start(self, handlers: dict[str, OperationHandler]) -> None:
        """
        Start to carry out operations, beginning with those that have already come.
        """
        self.add_operations(handlers)
        with self._lock:
            self._loop = asyncio.get_running_loop()
            waiting, self._waiting = self._waiting, []
        for line in waiting:
            self._loop.call_soon(self._take, line)

    def add_operations(self, handlers: dict[str, OperationHandler]) -> None:
        """
        Accept further operations.
        """
        self._handlers.update(handlers)

    def remove_operation(self, operation: str) -> None:
        """
        Refuse *operation* from now on.
        """
        del self._handlers[operation]

    def emit(self, message: HostMessage) -> None:
        """
        Send *message* to the host. Messages arrive in the order of the calls.

        A message that cannot be sent costs only its workspace, cassette or caller: an event that
        says so, or an error, is sent in its place.
        """
        data = memoryview(_encode(message))
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
            logger.error("a message from the host is invalid: %r", error)
            return
        try:
            if operation not in self._handlers:
                raise ValueError(f"{operation!r} is not available now")
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

    async def _finish(self, number: int, result: Awaitable[HostMessage]) -> None:
        try:
            self.emit({"reply": number, **await result})
        except Exception as error:
            self._fail(number, error)

    def _fail(self, number: int, error: Exception) -> None:
        if not isinstance(error, (ValueError, OSError)):
            logger.error("an operation failed", exc_info=error)
        self.emit({"reply": number, "error": str(error) or type(error).__name__})


def _encode(message: HostMessage) -> bytes:
    """
    Return *message* as one line that the host accepts.
    """
    try:
        line = _line(message)
        problem = f"it has {len(line)} bytes" if len(line) > LINE_BYTES else ""
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"it cannot be encoded ({error})"
    if not problem:
        return line
    logger.error("a message to the host is not sent: %s", problem[:200])
    if "reply" in message:
        text = f"the answer of the proxy cannot be sent: {problem[:200]}"
        return _line({"reply": message["reply"], "error": text})
    owner = {key: message[key] for key in ("workspace", "cassette") if key in message}
    return _line({"event": "lost", **owner})


def _line(message: HostMessage) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
