"""The host's side of one request to the agent of a workspace."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import WorkspaceLost
from ..in_container import workspace_agent as wire
from ..text.printable import printable
from ..unpatched import clock
from .process import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ATTENTION",
    "LONGEST",
    "PTY_WINDOW",
    "SILENCE",
    "WINDOW",
    "Call",
    "CommandCall",
    "FileCall",
    "OwnerCall",
    "Sender",
    "check_size",
]

WINDOW = 1 << 20
"""Bytes of unread output with which a started process blocks."""

PTY_WINDOW = 1 << 17
"""The same on a terminal. This much output is still shown after Ctrl-C."""

ATTENTION = 5.0
"""Seconds after which a waiting call looks after the agent."""

SILENCE = 30.0
"""Seconds in which an agent answers, whatever its commands do."""

LONGEST = 600.0
"""Seconds that a request about a file may take in all."""

_STDIN_WINDOW = 1 << 20
_STDIN_PIECE = 1 << 18
_MESSAGE_LENGTH = 2000
_OWNER_LENGTH = 256 << 10
_KILLED = 128 + 9
_END_OF_FILE = b"\x04"
_LARGEST_SIZE = 0xFFFF


class Sender(Protocol):
    """
    The part of a channel that a call needs.
    """

    def send(self, kind: int, number: int, payload: bytes = b"") -> None:
        """
        Send one frame.
        """

    def look_after(self, what: str) -> None:
        """
        Ask the agent for a sign of life if it has been silent. After `SILENCE`, end the
        channel with an error that says *what* waits.
        """

    def inspect(self, pid: int) -> tuple[str, int]:
        """
        Return what a command seems to wait for, and its processor time.
        """

    def give_up(self, reason: str) -> None:
        """
        End the channel because of the agent.
        """


class Call(ABC):
    """
    A request, from its first frame to its last.

    The thread that reads the channel calls `frame` and `lose`. That thread must never
    wait until it can send, because the agent could be waiting for the thread.

    Every wait has a bound. A command may run for ever, but its agent must answer when
    it is asked for a sign of life. All other answers must come by themselves.

    Attributes:
        what: the request in words, for errors.
        watched: whether silence of the agent ends a wait.
    """

    def __init__(self, sender: Sender, number: int) -> None:
        self.number = number
        self.what = "a request"
        self.watched = True
        self._frames = 0
        self._waited = 0.0
        self._sender = sender
        self._changed = threading.Condition()
        self._ended = False
        self._error: OSError | None = None
        self._lost: str | None = None
        self._credit = _STDIN_WINDOW
        self._feeding = threading.Lock()
        self._input_open = True

    def frame(self, kind: int, payload: memoryview) -> bool:
        """
        Process a frame from the agent.

        Returns:
            Whether the frame was the last one of this call.

        Raises:
            ValueError: the frame is invalid. Other errors have the same meaning.
        """
        with self._changed:
            self._frames += 1
            if kind == wire.TAKEN:
                self._credit += wire.TAKEN_COUNT.unpack(payload)[0]
                if self._credit > _STDIN_WINDOW:
                    raise ValueError("the agent acknowledged input that was not sent")
            elif kind == wire.ERROR:
                error = _os_error(_json(payload))
                if not self._ended:
                    self._error = error
            else:
                self._take(kind, payload)
            last = kind in (wire.DONE, wire.ERROR, wire.EXIT, wire.READY)
            self._ended = self._ended or last
            self._changed.notify_all()
            return last

    def lose(self, message: str) -> None:
        """
        Report that the workspace has ended.
        """
        with self._changed:
            self._lost = message
            self._changed.notify_all()

    def feed(self, data: bytes, *, end: bool = False, deadline: float | None = None) -> None:
        """
        Send input, no faster than the agent accepts it, until *deadline*.

        Raises:
            BrokenPipeError: nobody will read the input.
            WorkspaceLost: the workspace has ended.
        """
        with self._feeding:
            view = memoryview(data)
            while view:
                with self._changed:
                    if not self._await(lambda: self._credit > 0 or self._ended, deadline):
                        return
                    if self._ended or not self._input_open:
                        raise BrokenPipeError(errno.EPIPE, "the command does not read its input")
                    count = min(self._credit, len(view), _STDIN_PIECE)
                    self._credit -= count
                self._sender.send(wire.STDIN, self.number, bytes(view[:count]))
                view = view[count:]
            if end and self._input_open:
                self._input_open = False
                self._sender.send(wire.STDIN_EOF, self.number)

    @abstractmethod
    def _take(self, kind: int, payload: memoryview) -> None:
        """
        Process a frame of this kind of call. The caller holds `_changed`.
        """

    @property
    def _answer_is_due(self) -> bool:
        """
        Whether the agent itself must send the next frame. The caller holds `_changed`.
        """
        return False

    def _await(self, condition: Callable[[], bool], deadline: float | None = None) -> bool:
        """
        Wait until *condition* is true or *deadline* has passed. The caller holds `_changed`.

        Raises:
            WorkspaceLost: the workspace has ended, or its agent does not answer.
        """
        frames, silent, unseen = self._frames, 0.0, 0.0
        while not condition():
            self._check_lost()
            patience = ATTENTION
            before = clock.monotonic()
            if deadline is not None:
                patience = min(patience, deadline - before)
                if patience <= 0:
                    return False
            self._changed.wait(patience)
            # Not more than was waited for: this process may have been stopped in between.
            passed = min(clock.monotonic() - before, patience)
            silent, frames = silent + passed if frames == self._frames else 0.0, self._frames
            unseen += passed
            if self.watched and self._answer_is_due:
                self._waited += passed
                self._check_answer(silent)
            if self.watched and unseen >= ATTENTION and not condition():
                unseen = 0.0
                self._look_after()
        return True

    def _check_answer(self, silent: float) -> None:
        if silent >= SILENCE:
            reason = f"its agent has not answered for {silent:.0f} s: {self.what}"
        elif self._waited >= LONGEST:
            reason = f"its agent has not finished after {self._waited:.0f} s: {self.what}"
        else:
            return
        self._without_lock(lambda: self._sender.give_up(reason))
        self._check_lost()

    def _look_after(self) -> None:
        self._without_lock(lambda: self._sender.look_after(self.what))

    def _without_lock(self, action: Callable[[], None]) -> None:
        """
        Do what may wait for the thread that reads the channel, which may wait for `_changed`.
        """
        self._changed.release()
        try:
            action()
        finally:
            self._changed.acquire()

    def _check_lost(self) -> None:
        if self._lost is not None:
            raise WorkspaceLost(self._lost)


class FileCall(Call):
    """
    A request with one answer and optional data.

    Args:
        limit: the largest number of bytes to keep; the rest is dropped.
    """

    def __init__(self, sender: Sender, number: int, limit: int = 0) -> None:
        super().__init__(sender, number)
        self._limit = limit
        self._data = io.BytesIO()
        self.exceeded = False
        self.values: dict[str, Any] = {}

    @property
    def data(self) -> bytes:
        """
        The data that has arrived. This is not a copy of it.
        """
        return self._data.getvalue()

    @property
    def _answer_is_due(self) -> bool:
        return not self._ended

    def result(self, deadline: float | None = None) -> bool:
        """
        Wait for the answer, which is then in `values` and `data`.

        Returns:
            Whether the answer came before *deadline* and the data is within the limit.

        Raises:
            OSError: the agent's error, without a path.
            WorkspaceLost: the workspace has ended.
        """
        with self._changed:
            arrived = self._await(lambda: self._ended or self.exceeded, deadline)
            if self._error is not None:
                raise self._error
            return arrived and not self.exceeded

    def _take(self, kind: int, payload: memoryview) -> None:
        if kind == wire.DATA:
            self.exceeded = self.exceeded or self._data.tell() + len(payload) > self._limit
            if not self.exceeded:
                self._data.write(payload)
        elif kind in (wire.DONE, wire.READY):
            self.values = _json(payload)
        else:
            raise ValueError(f"a frame of type {kind} in answer to a request about a file")


class OwnerCall(FileCall):
    """
    A question of the proxy that the agent answers in a frame. Nobody waits for it for long, and a
    late answer is dropped.
    """

    @property
    def has_ended(self) -> bool:
        """
        Whether the answer has come.
        """
        with self._changed:
            return self._ended

    def _take(self, kind: int, payload: memoryview) -> None:
        if kind != wire.DONE or len(payload) > _OWNER_LENGTH:
            raise ValueError(f"a frame of type {kind}, {len(payload)} bytes, about a process")
        super()._take(kind, payload)


class CommandCall(Call):
    """
    A command, which a `Process` controls or `Channel.run` waits for.

    Args:
        keep: the largest number of bytes to keep of each stream; the rest is
            dropped. With `None`, the process blocks until its output is read.
        window: the number of unread bytes with which the process blocks.
        on_terminal: whether the command runs on a terminal, whose input is never
            closed.
    """

    def __init__(
        self,
        sender: Sender,
        number: int,
        keep: int | None,
        *,
        window: int = WINDOW,
        on_terminal: bool = False,
    ) -> None:
        super().__init__(sender, number)
        self._windowed = keep is None
        self._window = window
        self._on_terminal = on_terminal
        self._in_line = False
        self._keep = keep
        self._buffers = (bytearray(), bytearray())
        self._unacknowledged = [0, 0]
        self._dropped = False
        self._pid: int | None = None
        self._starting = False
        self._exit: Exit | None = None
        self.hide: Callable[[bytes], bytes] = bytes
        """Removes from the output what may not be kept."""

    @property
    def pid(self) -> int:
        """
        The process id inside the workspace; 0 if the program did not start.
        """
        return self._pid or 0

    @property
    def _answer_is_due(self) -> bool:
        return self._starting

    def started(self) -> None:
        """
        Wait until the command is running.

        Raises:
            OSError: the command cannot be started.
            WorkspaceLost: the workspace has ended.
        """
        with self._changed:
            self._starting = True
            self._await(lambda: self._pid is not None or self._ended)
            self._starting = False
            self._check_error()

    def read(self, stream: int, stop: threading.Event | None = None) -> bytes:
        """
        See `ProcessControl.read`.
        """
        buffer = self._buffers[stream]
        with self._changed:
            self._await(lambda: bool(buffer) or self._ended or _is_set(stop))
            self._check_error()
            piece = bytes(buffer)
            buffer.clear()
        self._acknowledge()
        return piece

    def poll(self) -> Exit | None:
        """
        See `ProcessControl.poll`.
        """
        with self._changed:
            if not self._ended:
                self._check_lost()
            self._check_error()
            return self._exit

    def stop(self, waiting: threading.Event) -> None:
        """
        See `ProcessControl.stop`.
        """
        waiting.set()
        with self._changed:
            self._changed.notify_all()

    def wait(
        self, deadline: float | None, keep: int, stop: threading.Event | None = None
    ) -> Exit | None:
        """
        See `ProcessControl.wait`.
        """
        with self._changed:
            self._keep = keep
            self._trim()
        while True:
            self._acknowledge()
            with self._changed:
                arrived = self._await(
                    lambda: self._ended or self._acknowledgement_is_due() or _is_set(stop), deadline
                )
                self._check_error()
                if self._ended or not arrived or _is_set(stop):
                    if self._windowed and not self._ended:
                        self._keep = None
                    return self._exit

    def follow(self, deadline: float | None, show: Callable[[int, bytes], object]) -> Exit | None:
        """
        Wait as `wait` does, and call *show* with each piece of output and the number of its
        stream, as far as the output is kept.
        """
        seen = [0, 0]
        while True:
            with self._changed:
                arrived = self._await(lambda: self._ended or self._has_more(seen), deadline)
                self._check_error()
                pieces = [
                    bytes(buffer[at:]) for buffer, at in zip(self._buffers, seen, strict=True)
                ]
                if not arrived or (self._ended and not any(pieces)):
                    return self._exit
            for stream, piece in enumerate(pieces):
                seen[stream] += len(piece)
                if piece:
                    show(stream, piece)

    def _has_more(self, seen: list[int]) -> bool:
        return any(len(buffer) > at for buffer, at in zip(self._buffers, seen, strict=True))

    def feed(self, data: bytes, *, end: bool = False, deadline: float | None = None) -> None:
        """
        See `ProcessControl.feed`.
        """
        if self._on_terminal:
            if data:
                self._in_line = data[-1:] not in (b"\n", b"\r")
            if end:
                # In the middle of a line, the first Ctrl-D only passes on the unfinished line.
                data += _END_OF_FILE * (1 + self._in_line)
            end = False
        super().feed(data, end=end, deadline=deadline)

    def resize(self, rows: int, columns: int) -> None:
        """
        See `ProcessControl.resize`.
        """
        check_size(rows, columns)
        with self._changed:
            if self._ended or not self._on_terminal:
                return
        values = {"rows": rows, "columns": columns}
        self._sender.send(wire.RESIZE, self.number, json.dumps(values).encode())

    def kill(self, signal: str | int) -> None:
        """
        See `ProcessControl.kill`.
        """
        with self._changed:
            if self._ended:
                return
        self._sender.send(wire.KILL, self.number, json.dumps({"signal": signal}).encode())

    def waits(self) -> str:
        """
        See `ProcessControl.waits`.
        """
        try:
            return self._sender.inspect(self.pid)[0] if self.pid else ""
        except WorkspaceLost:
            raise
        except OSError:
            return ""

    def abandon(self) -> Exit:
        """
        See `ProcessControl.abandon`.
        """
        self.kill("KILL")
        with self._changed:
            if self._exit is None:
                self._exit = Exit(_KILLED, 0.0, truncated=False, timed_out=True)
            self._ended = True
            self._changed.notify_all()
            return self._exit

    def output(self) -> tuple[bytes, bytes]:
        """
        Return the unread output of both streams, without what `hide` removes.
        """
        with self._changed:
            stdout, stderr = bytes(self._buffers[0]), bytes(self._buffers[1])
        return self.hide(stdout), self.hide(stderr)

    def forget_output(self) -> None:
        """
        Free the memory of the output. The agent may never report the end of an abandoned
        command, which is kept until then.
        """
        with self._changed:
            for buffer in self._buffers:
                buffer.clear()

    def _take(self, kind: int, payload: memoryview) -> None:
        if kind in (wire.STDOUT, wire.STDERR):
            if not self._ended:
                self._store(kind - wire.STDOUT, payload)
        elif kind == wire.STARTED:
            self._pid = _integer(_json(payload)["pid"])
        elif kind == wire.EXIT:
            values = _json(payload)
            end = Exit(
                _integer(values["code"]) & 255,
                float(values["duration"]),
                truncated=self._dropped or any(values["truncated"]),
                timed_out=bool(values["timed_out"]),
                waits=str(values.get("waits", ""))[:_MESSAGE_LENGTH],
            )
            self._exit = self._exit or end
        else:
            raise ValueError(f"a frame of type {kind} in answer to a command")

    def _store(self, stream: int, payload: memoryview) -> None:
        if stream and self._on_terminal:
            raise ValueError("a second output stream of a terminal")
        if self._windowed:
            self._unacknowledged[stream] += len(payload)
            if self._unacknowledged[stream] > self._window + wire.DRAIN_LIMIT:
                raise ValueError("more output than was requested")
        self._buffers[stream].extend(payload)
        self._trim()

    def _trim(self) -> None:
        if self._keep is not None:
            for buffer in self._buffers:
                if len(buffer) > self._keep:
                    del buffer[self._keep :]
                    self._dropped = True

    def _acknowledgement_is_due(self) -> bool:
        """
        Check whether enough output was read to acknowledge it. Not every line is.
        """
        return self._windowed and max(self._unacknowledged) >= self._window // 4

    def _acknowledge(self) -> None:
        with self._changed:
            if self._ended or not self._acknowledgement_is_due():
                return
            counts = []
            for stream, buffer in enumerate(self._buffers):
                unread = 0 if self._keep is not None else len(buffer)
                counts.append(max(0, self._unacknowledged[stream] - unread))
                self._unacknowledged[stream] -= counts[-1]
        for stream, count in enumerate(counts):
            if count:
                self._sender.send(
                    wire.ACK, self.number, wire.CREDIT.pack(wire.STDOUT + stream, count)
                )

    def _check_error(self) -> None:
        if self._error is not None:
            raise self._error


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()


def check_size(rows: int, columns: int) -> None:
    """
    Check the size of a terminal.

    Raises:
        ValueError: the size is out of range.
    """
    if not (0 < rows <= _LARGEST_SIZE and 0 < columns <= _LARGEST_SIZE):
        raise ValueError(
            f"a terminal has 1 to {_LARGEST_SIZE} rows and columns, not {rows} x {columns}"
        )


def _json(payload: memoryview) -> dict[str, Any]:
    values = json.loads(bytes(payload))
    if not isinstance(values, dict):
        raise ValueError("an answer that is not a JSON object")
    return values


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("an invalid number")
    return value


def _os_error(values: dict[str, Any]) -> OSError:
    number = getattr(errno, str(values.get("errno")), None)
    # The path needs no such care: an `OSError` shows its repr.
    message = printable(str(values.get("message"))[:_MESSAGE_LENGTH])
    if not isinstance(number, int):
        number = errno.EIO
    path = values.get("path")
    if path is None:
        return OSError(number, message)
    return OSError(number, os.strerror(number), str(path)[:_MESSAGE_LENGTH])
