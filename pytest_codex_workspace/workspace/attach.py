"""Connecting the user's terminal or pipes to a command in a workspace."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ..errors import WorkspaceLost
from .process import Lines, Process, Pty

if TYPE_CHECKING:
    from .handle import Workspace

__all__ = ["Streams", "known_term", "on_pipes", "on_terminal", "run_attached"]

_READ_SIZE = 1 << 16
_PATIENCE = 2.0
_MAX_DISCARDED_READS = 256
_DEFAULT_TERM = "xterm-256color"
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_TERMINFO = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")

_RESET = (
    b"\x1b[0m\x1b(B\x1b[?25h"  # colours, character set, cursor
    b"\x1b[?1l\x1b>\x1b[?2004l"  # keys, paste
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l"  # mouse, focus
    b"\x1b[?1047l"  # the other screen
)
"""Resets the modes that a killed program has left switched on."""


@dataclass(frozen=True, slots=True)
class Streams:
    """
    File descriptors on the user's side. Without `stdin`, there is no input.
    """

    stdin: int | None = 0
    stdout: int = 1
    stderr: int = 2

    @property
    def interactive(self) -> bool:
        """
        Whether input and output are terminals.
        """
        return self.stdin is not None and os.isatty(self.stdin) and os.isatty(self.stdout)

    @property
    def size(self) -> tuple[int, int]:
        """
        Rows and columns of the terminal; 24 and 80 if unknown.
        """
        for fd in (self.stdout, self.stdin):
            if fd is not None:
                with suppress(OSError):
                    columns, rows = os.get_terminal_size(fd)
                    if rows and columns:
                        return rows, columns
        return 24, 80


def run_attached(
    workspace: Workspace, command: Sequence[str], streams: Streams, *, terminal: bool
) -> int:
    """
    Run a command of a workspace, connected to the user's streams.

    Args:
        workspace: the workspace.
        command: program and arguments.
        streams: the user's side.
        terminal: whether the command runs on a terminal.

    Returns:
        The exit code.

    Raises:
        WorkspaceLost: the workspace has ended.
        BrokenPipeError: nobody reads the output.
    """

    def start(pty: Pty | None = None) -> Process:
        return workspace.start(command, pty=pty)

    if terminal:
        return on_terminal(start, streams, known_term(workspace, os.environ.get("TERM", "")))
    return on_pipes(start, streams)


def on_terminal(start: Callable[[Pty], Process], streams: Streams, term: str) -> int:
    """
    Connect a command that runs on a terminal to the user's terminal. Restore the
    user's terminal at the end.

    Keys go to the command unchanged: Ctrl-C interrupts the command, not this
    process. Input that is not a terminal is read to its end, which the command
    receives as Ctrl-D. Because of signal handlers, only the main thread may call this.

    Args:
        start: starts the command on a given terminal.
        streams: the user's side.
        term: kind of the terminal.

    Returns:
        The exit code.

    Raises:
        WorkspaceLost: the workspace has ended.
        BrokenPipeError: nobody reads the output.
        KeyboardInterrupt: this process received SIGINT or SIGQUIT.
    """
    with _WakeupPipe() as wakeup, wakeup.on(signal.SIGWINCH):
        size = streams.size
        process = start(Pty(*size, term))
        with (
            _raw(streams),
            _input(process, streams.stdin, wakeup, lambda: process.resize(*streams.size)),
            _killed_on_error(process),
        ):
            if streams.size != size:
                process.resize(*streams.size)
            _copy(process.stdout, streams.stdout)
    return process.wait().exit_code


def on_pipes(start: Callable[[], Process], streams: Streams) -> int:
    """
    Connect a command that runs on pipes to the user's streams. Its outputs stay
    separate, and are passed on at once.

    Args:
        start: starts the command.
        streams: the user's side.

    Returns:
        The exit code.

    Raises:
        WorkspaceLost: the workspace has ended.
        BrokenPipeError: nobody reads the output.
    """
    with _WakeupPipe() as wakeup:
        process = start()
        with _input(process, streams.stdin, wakeup), _killed_on_error(process):
            errors = threading.Thread(
                target=_copy_while_taken,
                args=(process.stderr, streams.stderr),
                name="codex-workspace-stderr",
                daemon=True,
            )
            errors.start()
            _copy(process.stdout, streams.stdout)
            errors.join()
    return process.wait().exit_code


def known_term(workspace: Workspace, term: str) -> str:
    """
    Return the kind of terminal for programs in the workspace: *term*, the user's kind,
    or a common one if the workspace does not know *term*.
    """
    if "TERM" in workspace.env:
        return workspace.env["TERM"]
    if not _TERM.fullmatch(term):
        return _DEFAULT_TERM
    for directory in _TERMINFO:
        # The directory is the first letter or, if file names are not case-sensitive, its number.
        for letter in (term[0], f"{ord(term[0]):x}"):
            if workspace.path(f"{directory}/{letter}/{term}").exists():
                return term
    return _DEFAULT_TERM


class _WakeupPipe:
    """
    A pipe that wakes a thread which waits for input.
    """

    def __enter__(self) -> _WakeupPipe:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self.over = False
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reader)
        os.close(self._writer)

    def wake(self) -> None:
        """
        Wake the thread, now or at its next wait.
        """
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    @contextmanager
    def on(self, number: signal.Signals) -> Iterator[None]:
        """
        Wake the thread at each signal. The handler itself must not send, because it may
        interrupt a thread that is sending.
        """
        before = signal.signal(number, lambda *_: self.wake())
        try:
            yield
        finally:
            signal.signal(number, before)


@contextmanager
def _killed_on_error(process: Process) -> Iterator[None]:
    try:
        yield
    except WorkspaceLost:
        raise
    except BaseException:
        with suppress(WorkspaceLost):
            process.kill()
        raise


@contextmanager
def _raw(streams: Streams) -> Iterator[None]:
    """
    Switch the user's terminal to raw mode.
    """
    stdin = streams.stdin
    if stdin is None or not os.isatty(stdin):
        yield
        return
    before = termios.tcgetattr(stdin)
    quit_before = signal.signal(signal.SIGQUIT, _interrupt)
    try:
        # Keys that were typed while the workspace started are for the workspace.
        tty.setraw(stdin, termios.TCSADRAIN)
        yield
    finally:
        # Answers of the terminal that the workspace requested, and keys typed too late, must not
        # reach the user's own shell. The error of a terminal that has hung up is ignored.
        _discard(stdin)
        with suppress(termios.error):
            termios.tcsetattr(stdin, termios.TCSAFLUSH, before)
        if os.isatty(streams.stdout):
            with suppress(OSError):
                _write(streams.stdout, _RESET)
        signal.signal(signal.SIGQUIT, quit_before)


@contextmanager
def _input(
    process: Process,
    stdin: int | None,
    wakeup: _WakeupPipe,
    resized: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """
    Send input from *stdin* to the process.
    """

    def send() -> None:
        source = stdin
        if source is None:
            process.close_stdin()
        while not wakeup.over:
            sources = [wakeup.reader] if source is None else [wakeup.reader, source]
            ready = select.select(sources, [], [])[0]
            if wakeup.reader in ready:
                os.read(wakeup.reader, _READ_SIZE)
                if wakeup.over:
                    return
                resized()
            if source in ready and not _send_available(source, process):
                source = None

    def run() -> None:
        # The thread that reads the output reports the end.
        with suppress(BrokenPipeError, WorkspaceLost):
            send()

    thread = threading.Thread(target=run, name="codex-workspace-stdin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        wakeup.over = True
        wakeup.wake()
        # The thread may be blocked by a process that does not read.
        thread.join(_PATIENCE)


def _send_available(source: int, process: Process) -> bool:
    """
    Send the available input. Return whether there may be more.
    """
    try:
        data = os.read(source, _READ_SIZE)
    except BlockingIOError:
        return True
    except OSError:
        data = b""
    if data:
        process.send(data)
    else:
        process.close_stdin()
    return bool(data)


def _discard(stdin: int) -> None:
    """
    Read the pending input. Flushing the terminal is not enough: more input may wait
    behind its full buffer.
    """
    with suppress(OSError):
        for _ in range(_MAX_DISCARDED_READS):
            if not select.select([stdin], [], [], 0)[0] or not os.read(stdin, _READ_SIZE):
                return


def _copy(lines: Lines, fd: int) -> None:
    while piece := lines.piece():
        _write(fd, piece)


def _copy_while_taken(lines: Lines, fd: int) -> None:
    """
    Copy output in a thread. If nobody reads the output, the process continues.
    """
    taken = True
    with suppress(WorkspaceLost):
        while piece := lines.piece():
            if taken:
                try:
                    _write(fd, piece)
                except OSError:
                    taken = False


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Another process that shares the terminal may have made it non-blocking.
            select.select([], [fd], [])
        except OSError as error:
            if error.errno == errno.EIO:
                raise BrokenPipeError(errno.EPIPE, "the terminal has hung up") from None
            raise


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
