"""What a command in a workspace gives back."""

from __future__ import annotations

import shlex
import signal as signals
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from .errors import ExecError, ExecTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Control", "ExecResult", "Exit", "Lines", "Process", "Pty", "timed_out", "to_bytes"]

_LINE_LIMIT = 1 << 20
_TAIL_LINES = 20
_TAIL_LENGTH = 4000
_SHOWN = 200
_KILL_PATIENCE = 5.0


@dataclass(frozen=True)
class ExecResult:
    """
    A command that has ended.

    Attributes:
        args: the command as it was given.
        exit_code: what it exited with; 128 + n if signal n ended it, 127 if
            there is no such program, 126 if it cannot be executed.
        stdout_bytes: its standard output.
        stderr_bytes: its standard error.
        duration: seconds.
        truncated: whether a stream was longer than the limit, and cut there.
        cwd: the directory it ran in.
    """

    args: str | Sequence[str]
    exit_code: int
    stdout_bytes: bytes = field(default=b"", repr=False)
    stderr_bytes: bytes = field(default=b"", repr=False)
    duration: float = 0.0
    truncated: bool = False
    cwd: str = ""

    @cached_property
    def stdout(self) -> str:
        """
        Standard output as text; what is not UTF-8 is replaced.
        """
        return self.stdout_bytes.decode("utf-8", "replace")

    @cached_property
    def stderr(self) -> str:
        """
        Standard error as text; what is not UTF-8 is replaced.
        """
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """
        Whether the exit code is 0.
        """
        return self.exit_code == 0

    def check(self) -> ExecResult:
        """
        Insist on success.

        Returns:
            The result itself.

        Raises:
            ExecError: the exit code is not 0.
        """
        __tracebackhide__ = True
        if not self.ok:
            raise ExecError(self.describe(_ended_by(self.exit_code)), result=self)
        return self

    def describe(self, what: str) -> str:
        """
        *what* happened to the command, and the last lines of its output.
        """
        lines = [f"{what}, after {self.duration:.2f} s: {self.command}"]
        if self.cwd:
            lines.append(f"in {self.cwd}")
        for name, text in (("stdout", self.stdout_bytes), ("stderr", self.stderr_bytes)):
            tail = text[-_TAIL_LENGTH:].decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
            if tail:
                lines.append(f"the end of its {name}:")
                lines += [f"  | {line}" for line in tail]
            else:
                lines.append(f"nothing on its {name}")
        return "\n".join(lines)

    @property
    def command(self) -> str:
        """
        The command as one line of shell.
        """
        return self.args if isinstance(self.args, str) else shlex.join(self.args)

    def __repr__(self) -> str:
        shown = [f"args={self.args!r}", f"exit_code={self.exit_code}"]
        for name, text in (("stdout", self.stdout_bytes), ("stderr", self.stderr_bytes)):
            piece = text[:_SHOWN].decode("utf-8", "replace")
            more = f"... ({len(text)} bytes)" if len(text) > _SHOWN else ""
            shown.append(f"{name}={piece!r}{more}")
        shown.append(f"duration={self.duration:.3f}")
        if self.truncated:
            shown.append("truncated=True")
        return f"ExecResult({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Exit:
    """
    The end of a command, as the workspace reports it.
    """

    code: int
    duration: float
    truncated: bool
    timed_out: bool


@dataclass(frozen=True, slots=True)
class Pty:
    """
    A pseudo-terminal for a command.

    Attributes:
        rows: its height in characters.
        columns: its width.
        term: its kind, for `TERM`.
    """

    rows: int = 24
    columns: int = 80
    term: str = "xterm-256color"


class Control(Protocol):
    """
    A running command, as its workspace's channel has it.

    Every method raises `WorkspaceLost` when the workspace has ended.
    """

    @property
    def pid(self) -> int:
        """
        Its process id inside the workspace.
        """

    def read(self, stream: int) -> bytes:
        """
        Some output of *stream* (0 or 1), as soon as there is any; empty after
        the end of the command.
        """

    def poll(self) -> Exit | None:
        """
        How it ended, if it has.
        """

    def wait(self, deadline: float | None, keep: int) -> Exit | None:
        """
        Block until it has ended or *deadline* (of the monotonic clock) has
        passed. Takes up to *keep* bytes a stream meanwhile, for `read`.
        """

    def feed(self, data: bytes, *, end: bool = False) -> None:
        """
        Write to standard input, and with *end* close it. Blocks while the
        command does not read. A terminal is sent Ctrl-D for the end.
        """

    def resize(self, rows: int, columns: int) -> None:
        """
        Give its terminal, if it runs on one, another size.
        """

    def kill(self, signal: str | int) -> None:
        """
        Send a signal, by name or number, to the process group.
        """

    def abandon(self) -> Exit:
        """
        Kill it and do not wait any longer for its end.
        """


class Lines:
    """
    One output stream of a process: an iterator over its lines as they come,
    line ends included. A line longer than 1 MiB comes in pieces.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._pending = bytearray()
        self._lock = threading.Lock()

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        with self._lock:
            searched = 0
            while True:
                cut = self._pending.find(b"\n", searched, _LINE_LIMIT) + 1
                if cut or len(self._pending) >= _LINE_LIMIT:
                    return self._take(cut or _LINE_LIMIT).decode("utf-8", "replace")
                searched = len(self._pending)
                piece = self._read()
                if not piece:
                    break
                self._pending += piece
            if not self._pending:
                raise StopIteration
            return self._take(len(self._pending)).decode("utf-8", "replace")

    def piece(self) -> bytes:
        """
        What has come, not cut into lines: for those who take it in bulk.
        Waits for at least one byte; empty once the process has ended.
        """
        with self._lock:
            return self._take(len(self._pending)) or self._read()

    def rest(self) -> bytes:
        """
        What was not iterated, once the process has ended.
        """
        with self._lock:
            while piece := self._read():
                self._pending += piece
            return self._take(len(self._pending))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        return taken


class Process:
    """
    A command that runs. `Workspace.start` makes it.

    An unread process blocks once a MiB of its output waits, as on any pipe.
    Two threads may iterate `stdout` and `stderr` at once.

    Attributes:
        args: the command as it was given.
        stdout: its standard output, line by line.
        stderr: its standard error, line by line.

    Example:
        >>> server = ws.start("python3 -m http.server 8000")
        >>> next(server.stderr)
        'Serving HTTP on 0.0.0.0 port 8000 ...'
        >>> server.kill()
    """

    def __init__(
        self,
        control: Control,
        args: str | Sequence[str],
        *,
        cwd: str,
        keep: int,
        timeout: float | None = None,
        check: bool = False,
    ) -> None:
        self.args = args
        self.stdout = Lines(lambda: control.read(0))
        self.stderr = Lines(lambda: control.read(1))
        self._control = control
        self._cwd = cwd
        self._keep = keep
        self._timeout = timeout
        self._check = check
        self._lock = threading.Lock()
        self._result: ExecResult | None = None
        self._expired: float | None = None

    def __repr__(self) -> str:
        return f"<Process {self.pid} {self.args!r}>"

    @property
    def pid(self) -> int:
        """
        The process id inside the workspace, 0 if the program did not start.
        """
        return self._control.pid

    def poll(self) -> int | None:
        """
        The exit code, `None` while the command runs.

        Raises:
            WorkspaceLost: the workspace's container ended.
        """
        end = self._control.poll()
        return None if end is None else end.code

    def wait(self, timeout: float | None = None) -> ExecResult:
        """
        Wait for the end of the command.

        Args:
            timeout: seconds, after which the whole process group is killed.

        Returns:
            Exit code and what was not iterated of the output: up to 10 MiB of
            each stream, the rest is dropped.

        Raises:
            ExecTimeout: this timeout, or the one the command was started
                with, has passed.
            ExecError: the command failed and was started with `check`.
            WorkspaceLost: the workspace's container ended.
        """
        __tracebackhide__ = True
        end, expired = self._control.wait(_deadline(timeout), self._keep), None
        if end is None:
            expired = timeout
            self._control.kill("KILL")
            end = self._control.wait(_deadline(_KILL_PATIENCE), self._keep)
            if end is None:
                end = self._control.abandon()
        elif end.timed_out:
            expired = self._timeout
        with self._lock:
            if self._result is None:
                self._result, self._expired = self._collect(end), expired
        if self._expired is not None:
            raise timed_out(self._result, self._expired)
        return self._result.check() if self._check else self._result

    def kill(self, signal: str | int = "KILL") -> None:
        """
        Send a signal to the whole process group. A process that has ended is
        left alone.

        Args:
            signal: name, with or without `SIG`, or number.

        Raises:
            ValueError: there is no such signal.
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

    def send(self, data: str | bytes) -> None:
        """
        Write to standard input. Blocks while the process does not read what
        was sent before.

        Raises:
            BrokenPipeError: the process has ended, or its input is closed.
        """
        self._control.feed(to_bytes(data))

    def close_stdin(self) -> None:
        """
        End the process's standard input; on a terminal, send Ctrl-D.
        """
        self._control.feed(b"", end=True)

    def resize(self, rows: int, columns: int) -> None:
        """
        Give the process's terminal another size, in characters. Nothing
        happens if it has ended or runs on none.

        Raises:
            ValueError: no terminal has that size.
        """
        self._control.resize(rows, columns)

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
    What a command is to read, text as UTF-8.
    """
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data


def timed_out(result: ExecResult, timeout: float) -> ExecTimeout:
    """
    The error of a command that was killed after *timeout* seconds.
    """
    what = f"command ran longer than its timeout of {timeout:g} s and was killed"
    return ExecTimeout(result.describe(what), result=result, timeout=timeout)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _ended_by(code: int) -> str:
    names = {int(one): one.name for one in signals.Signals}
    by = f" ({names[code - 128]})" if code - 128 in names else ""
    return f"command exited with {code}{by}"
