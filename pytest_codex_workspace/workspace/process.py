"""A running command: its output, its input and its end."""

from __future__ import annotations

import signal as signals
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..access.event_loop import BlockingNotice, without_blocking
from ..errors import WorkspaceLost
from ..unpatched import clock
from .result import ExecResult, not_ended, still_running, timed_out, was_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .command_log import CommandState

__all__ = ["Exit", "LineCutter", "Lines", "Process", "ProcessControl", "Pty", "to_bytes"]

_LINE_LIMIT = 1 << 20
_KILL_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Exit:
    """
    The end of a command, as the workspace reports it.

    Attributes:
        waits: what it seemed to wait for when it was killed after its timeout.
    """

    code: int
    duration: float
    truncated: bool
    timed_out: bool
    waits: str = ""


@dataclass(frozen=True, slots=True)
class Pty:
    """
    A pseudo-terminal for a command.

    Attributes:
        rows: height in characters.
        columns: width in characters.
        term: kind of terminal, for the variable `TERM`.
    """

    rows: int = 24
    columns: int = 80
    term: str = "xterm-256color"


class LineCutter:
    """
    Calls a function with each line of two streams.

    Args:
        on_line: takes a line with its line end.
        hide: removes from a line what may not be shown.
    """

    def __init__(self, on_line: Callable[[str], object], hide: Callable[[bytes], bytes]) -> None:
        self._on_line = on_line
        self._hide = hide
        self._pending = (bytearray(), bytearray())

    def feed(self, stream: int, piece: bytes) -> None:
        """
        Take output of a stream, and show its whole lines. One that is longer than 1 MiB is split.
        """
        pending = self._pending[stream]
        start = len(pending)
        pending += piece
        while True:
            cut = pending.find(b"\n", start, _LINE_LIMIT) + 1
            if not cut and len(pending) < _LINE_LIMIT:
                return
            cut, start = cut or _LINE_LIMIT, 0
            self._show(bytes(pending[:cut]))
            del pending[:cut]

    def end(self) -> None:
        """
        Show last lines without a line end.
        """
        for pending in self._pending:
            if pending:
                self._show(bytes(pending))

    def _show(self, line: bytes) -> None:
        self._on_line(self._hide(line).decode("utf-8", "replace"))


class ProcessControl(Protocol):
    """
    What a `Process` needs of the call that runs its command.

    Every method raises `WorkspaceLost` if the workspace has ended.
    """

    @property
    def pid(self) -> int:
        """
        The process id inside the workspace.
        """

    def read(self, stream: int, stop: threading.Event | None = None) -> bytes:
        """
        Wait for output of *stream* (0 or 1) and return it; return nothing after the
        end of the command, or once *stop* is set.
        """

    def stop(self, waiting: threading.Event) -> None:
        """
        Set what was given to `read` or `wait`, which return at once.
        """

    def output(self) -> tuple[bytes, bytes]:
        """
        Return the unread output of both streams.
        """

    def poll(self) -> Exit | None:
        """
        Return the end of the command; `None` while it is running.
        """

    def wait(
        self, deadline: float | None, keep: int, stop: threading.Event | None = None
    ) -> Exit | None:
        """
        Wait until the command has ended, *deadline* (of the monotonic clock) has
        passed or *stop* is set. Meanwhile, keep up to *keep* bytes of each stream for
        `read`; after a deadline, the command blocks again while its output is unread.
        """

    def feed(self, data: bytes, *, end: bool = False) -> None:
        """
        Write to standard input, and with *end* close it. Block while the command
        does not read. On a terminal, *end* sends Ctrl-D.
        """

    def resize(self, rows: int, columns: int) -> None:
        """
        Set the size of the command's terminal, if it runs on one.
        """

    def kill(self, signal: str | int) -> None:
        """
        Send a signal, by name or number, to the process group.
        """

    def waits(self) -> str:
        """
        Return what the command seems to wait for; empty if nothing or unknown.
        """

    def abandon(self) -> Exit:
        """
        Kill the command, and do not wait for its end.
        """


class Reader(Protocol):
    """
    Reads one output stream of a process.
    """

    def __call__(self, stop: threading.Event | None = None) -> bytes:
        """
        Wait for output and return it; return nothing after the end, or once *stop* is set.
        """


class Lines:
    """
    One output stream of a process: an iterator over its lines, with their line
    ends, for `for` and for `async for`. A line longer than 1 MiB is split.
    """

    def __init__(
        self, read: Reader, stop: Callable[[threading.Event], None] = threading.Event.set
    ) -> None:
        self._read = read
        self._stop = stop
        self._pending = bytearray()
        self._lock = threading.Lock()

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        with self._lock:
            searched = 0
            while (line := self._line(searched)) is None:
                searched = len(self._pending)
                if not (piece := self._read()):
                    break
                self._pending += piece
            return line or self._last_line(StopIteration)

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        # A thread only waits, so that no line is lost if this is cancelled.
        searched, ended = 0, False
        while (line := self._line(searched)) is None and not ended:
            searched, stop = len(self._pending), threading.Event()
            ended = await without_blocking(partial(self._fill, stop), partial(self._stop, stop))
        return line or self._last_line(StopAsyncIteration)

    def _fill(self, stop: threading.Event) -> bool:
        """
        Wait for output, and return whether there is none any more.
        """
        with self._lock:
            piece = self._read(stop)
            self._pending += piece
            return not piece

    def _line(self, searched: int) -> str | None:
        """
        Return the next line, if it is whole; the first *searched* bytes have no line end.
        """
        cut = self._pending.find(b"\n", searched, _LINE_LIMIT) + 1
        if cut or len(self._pending) >= _LINE_LIMIT:
            return self._take(cut or _LINE_LIMIT).decode("utf-8", "replace")
        return None

    def _last_line(self, end: type[Exception]) -> str:
        if not self._pending:
            raise end
        return self._take(len(self._pending)).decode("utf-8", "replace")

    def piece(self) -> bytes:
        """
        Wait for output, and return it without splitting it into lines; return nothing
        once the process has ended.
        """
        with self._lock:
            return self._take(len(self._pending)) or self._read()

    def rest(self) -> bytes:
        """
        Wait for the end of the process, and return the output that was not iterated.
        """
        with self._lock:
            while piece := self._read():
                self._pending += piece
            return self._take(len(self._pending))

    def pending(self) -> bytes:
        """
        Return what was read, and is not the end of a line.
        """
        return bytes(self._pending)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        return taken


class Process:
    """
    A running command, returned by `Workspace.start`.

    As on any pipe, a process blocks while 1 MiB of its output is unread. Two threads
    may iterate `stdout` and `stderr` at the same time.

    Attributes:
        args: the command as it was given.
        stdout: lines of its standard output.
        stderr: lines of its standard error.
        finished: called once with the result, and how the command ended.
        notice: warns of calls that block an event loop.

    Example:
        >>> server = ws.start("python3 -m http.server 8000")
        >>> next(server.stderr)
        'Serving HTTP on 0.0.0.0 port 8000 ...'
        >>> server.kill()
    """

    def __init__(
        self,
        control: ProcessControl,
        args: str | Sequence[str],
        *,
        cwd: str,
        keep: int,
        timeout: float | None = None,
        check: bool = False,
        explain: Callable[[ExecResult], ExecResult] = lambda result: result,
    ) -> None:
        self.args = args
        self.stdout: Lines = Lines(partial(control.read, 0), control.stop)
        self.stderr: Lines = Lines(partial(control.read, 1), control.stop)
        self._control = control
        self._cwd = cwd
        self._keep = keep
        self._timeout = timeout
        self._check = check
        self._explain = explain
        self._lock = threading.Lock()
        self._result: ExecResult | None = None
        self._expired: float | None = None
        self.finished: Callable[[ExecResult, CommandState], None] = _ignore
        self.notice: BlockingNotice = BlockingNotice()
        self._began = clock.monotonic()
        self._waits = ""

    def __repr__(self) -> str:
        return f"<Process {self.pid} {self.args!r}>"

    @property
    def pid(self) -> int:
        """
        The process id inside the workspace; 0 if the program did not start.
        """
        return self._control.pid

    def poll(self) -> int | None:
        """
        Return the exit code; `None` while the command is running.

        Raises:
            WorkspaceLost: the workspace's container ended.
        """
        end = self._control.poll()
        return None if end is None else end.code

    def wait(self, timeout: float | None = None) -> ExecResult:
        """
        Wait for the end of the command.

        Args:
            timeout: seconds to wait. As with `subprocess`, the command runs on after that, and
                can be waited for again, read from, or killed.

        Returns:
            The exit code and the output that was not iterated, up to 10 MiB of each
            stream. The rest is dropped.

        Raises:
            ExecTimeout: this timeout has passed, and the command runs on; or the timeout of
                `Workspace.start` has, and it was killed. The error has the output so far that
                was not iterated.
            ExecError: the command failed and was started with `check`.
            WorkspaceLost: the workspace's container ended.
        """
        __tracebackhide__ = True
        self.notice.check("process.wait", "await process.await_()")
        return self._wait(timeout)

    async def await_(self, timeout: float | None = None) -> ExecResult:
        """
        Wait for the end of the command, as `wait` does, without blocking the event loop: on
        asyncio and trio. If this is cancelled, the command runs on.

        Raises:
            ModuleNotFoundError: anyio is not installed.
        """
        __tracebackhide__ = True
        stop = threading.Event()
        return await without_blocking(
            lambda: self._wait(timeout, stop), lambda: self._control.stop(stop)
        )

    async def asend(self, data: str | bytes) -> None:
        """
        Write to standard input, as `send` does, without blocking the event loop. What is cancelled
        goes on in its thread until the process reads, or has ended.
        """
        await without_blocking(lambda: self.send(data), None)

    def __enter__(self) -> Process:
        """
        Return the process, which the end of the block kills if it still runs.
        """
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    async def __aenter__(self) -> Process:
        """
        Return the process, which the end of the block kills if it still runs.
        """
        return self

    async def __aexit__(self, *_: object) -> None:
        await without_blocking(self._end, lambda: None, shielded=True)

    def _end(self) -> None:
        """
        Kill the process, and wait for its end for a moment. What is lost has ended.
        """
        with suppress(WorkspaceLost):
            if self._control.poll() is None:
                self._control.kill("KILL")
                if self._control.wait(_deadline(_KILL_PATIENCE), self._keep) is None:
                    self._control.abandon()

    def _wait(self, timeout: float | None, stop: threading.Event | None = None) -> ExecResult:
        __tracebackhide__ = True
        expired, waits = None, ""
        try:
            end = self._control.wait(_deadline(timeout), self._keep, stop)
        except BaseException as error:
            if was_interrupted(error):
                error.add_note(still_running(self._so_far()))
            raise
        if end is None and stop is not None and stop.is_set():
            return self._so_far()  # Nobody takes it.
        if end is None:
            assert timeout is not None  # noqa: S101 -- only a deadline ends the wait early
            raise not_ended(self._explain(self._so_far()), timeout, self._control.waits())
        if end.timed_out:
            expired, waits = self._timeout, end.waits
        with self._lock:
            if self._result is None:
                self._result, self._expired = self._explain(self._collect(end)), expired
                self.finished(self._result, "exited" if expired is None else "timed out")
                self._waits = waits
        if self._expired is not None:
            raise timed_out(self._result, self._expired, self._waits)
        return self._result.check() if self._check else self._result

    def unread(self) -> ExecResult:
        """
        Return the output that was neither iterated nor waited for, without taking it; the result
        if the end was waited for. The exit code is -1 while the process runs.
        """
        with self._lock:
            if self._result is not None:
                return self._result
        return self._so_far()

    def kill(self, signal: str | int = "KILL") -> None:
        """
        Send a signal to the whole process group. Do nothing if the process has ended.

        Args:
            signal: a number, or a name with or without `SIG`.

        Raises:
            ValueError: the signal does not exist.
        """
        if isinstance(signal, signals.Signals):
            signal = signal.name
        if isinstance(signal, str):
            signal = signal.upper().removeprefix("SIG")
            if not hasattr(signals, f"SIG{signal}"):
                raise ValueError(f"there is no signal {signal!r}; give a name such as 'TERM'")
        elif not 0 < signal <= 64:
            raise ValueError(f"there is no signal {signal}; give one of 1 to 64")
        self._control.kill(signal)

    def abandon(self) -> None:
        """
        Kill the process group, and count it as ended: nothing waits for it or reads from it
        any more.
        """
        self._control.abandon()

    def send(self, data: str | bytes) -> None:
        """
        Write to standard input. Block while the process does not read its input.

        Raises:
            BrokenPipeError: the process has ended, or its input is closed.
        """
        self._control.feed(to_bytes(data))

    def close_stdin(self) -> None:
        """
        Close the process's standard input; on a terminal, send Ctrl-D.
        """
        self._control.feed(b"", end=True)

    def resize(self, rows: int, columns: int) -> None:
        """
        Set the size of the process's terminal in characters. Do nothing if the
        process has ended or has no terminal.

        Raises:
            ValueError: the size is out of range.
        """
        self._control.resize(rows, columns)

    def _so_far(self) -> ExecResult:
        unread = zip((self.stdout, self.stderr), self._control.output(), strict=True)
        stdout, stderr = ((lines.pending() + more)[: self._keep] for lines, more in unread)
        return ExecResult(
            self.args, -1, stdout, stderr, clock.monotonic() - self._began, cwd=self._cwd
        )

    def _collect(self, end: Exit) -> ExecResult:
        stdout, stderr = self.stdout.rest(), self.stderr.rest()
        return ExecResult(
            self.args,
            end.code,
            stdout[: self._keep],
            stderr[: self._keep],
            duration=end.duration,
            truncated=end.truncated or max(len(stdout), len(stderr)) > self._keep,
            cwd=self._cwd,
        )


def to_bytes(data: str | bytes) -> bytes:
    """
    Return the input of a command as bytes, in UTF-8.
    """
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data


def _ignore(result: ExecResult, state: CommandState) -> None:
    """
    Do nothing with the result.
    """


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else clock.monotonic() + timeout
