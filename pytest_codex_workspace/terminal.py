"""The user's terminal, or what stands in its place, connected to a command in a workspace."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from .errors import WorkspaceLost
from .results import Lines, Process, Pty

if TYPE_CHECKING:
    from .workspace import Workspace

__all__ = ["Streams", "known_term", "on_pipes", "on_terminal"]

_PIECE = 1 << 16
_PATIENCE = 2.0
_MOST_DISCARDED = 256
_DEFAULT_TERM = "xterm-256color"
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_TERMINFO = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")

_RESET = (
    b"\x1b[0m\x1b(B\x1b[?25h"  # colours, character set, cursor
    b"\x1b[?1l\x1b>\x1b[?2004l"  # keys, paste
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l"  # mouse, focus
    b"\x1b[?1047l"  # the other screen
)
"""What undoes that which a program that was killed has not undone."""


@dataclass(frozen=True, slots=True)
class Streams:
    """
    File descriptors of the user's side. Without `stdin` there is no input.
    """

    stdin: int | None = 0
    stdout: int = 1
    stderr: int = 2

    @property
    def interactive(self) -> bool:
        """
        Whether somebody sits at both ends.
        """
        return self.stdin is not None and os.isatty(self.stdin) and os.isatty(self.stdout)

    @property
    def size(self) -> tuple[int, int]:
        """
        Rows and columns of the terminal; 24 and 80 where nothing says.
        """
        for fd in (self.stdout, self.stdin):
            if fd is not None:
                with suppress(OSError):
                    columns, rows = os.get_terminal_size(fd)
                    if rows and columns:
                        return rows, columns
        return 24, 80


def on_terminal(start: Callable[[Pty], Process], streams: Streams, term: str) -> int:
    """
    Connect a command that runs on a terminal to the user's, which is as it
    was when this returns or raises.

    Keys go to the command as they are: Ctrl-C ends what runs there, and not
    this. What is no terminal is read to its end, which the command gets as
    Ctrl-D. Only for the main thread, because of the signals.

    Args:
        start: starts it on the terminal it is given.
        streams: the user's side.
        term: kind of the terminal.

    Returns:
        The exit code.

    Raises:
        WorkspaceLost: the workspace has ended.
        BrokenPipeError: nobody takes the output.
        KeyboardInterrupt: this process was told to end.
    """
    with _Wakeup() as wakeup, wakeup.on(signal.SIGWINCH):
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
    Connect a command that runs on pipes: its outputs stay apart, and come as
    they are printed.

    Args:
        start: starts it.
        streams: the user's side.

    Returns:
        The exit code.

    Raises:
        WorkspaceLost: the workspace has ended.
        BrokenPipeError: nobody takes the output.
    """
    with _Wakeup() as wakeup:
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
    The kind of terminal to tell the workspace's programs: *term*, the user's,
    unless they could do nothing with it.
    """
    if "TERM" in workspace.env:
        return workspace.env["TERM"]
    if not _TERM.fullmatch(term):
        return _DEFAULT_TERM
    for directory in _TERMINFO:
        # By the first letter, or where file names have no case, its number.
        for letter in (term[0], f"{ord(term[0]):x}"):
            if workspace.path(f"{directory}/{letter}/{term}").exists():
                return term
    return _DEFAULT_TERM


class _Wakeup:
    """
    A pipe that ends a thread's wait for input.
    """

    def __enter__(self) -> _Wakeup:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self.over = False
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reader)
        os.close(self._writer)

    def ring(self) -> None:
        """
        End the wait, now or the next.
        """
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    @contextmanager
    def on(self, number: signal.Signals) -> Iterator[None]:
        """
        Ring at each signal: a handler must not send, since the thread it
        interrupts may be sending.
        """
        before = signal.signal(number, lambda *_: self.ring())
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
    The user's terminal without any handling of its own.
    """
    stdin = streams.stdin
    if stdin is None or not os.isatty(stdin):
        yield
        return
    before = termios.tcgetattr(stdin)
    quit_before = signal.signal(signal.SIGQUIT, _interrupt)
    try:
        # What was typed while the workspace came up is for it.
        tty.setraw(stdin, termios.TCSADRAIN)
        yield
    finally:
        # What the workspace made the terminal answer, or was typed too late, must not reach the
        # user's own shell. A terminal that has hung up is an error, which changes nothing here.
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
    wakeup: _Wakeup,
    resized: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """
    Send what comes from *stdin* to the process.
    """

    def send() -> None:
        source = stdin
        if source is None:
            process.close_stdin()
        while not wakeup.over:
            sources = [wakeup.reader] if source is None else [wakeup.reader, source]
            ready = select.select(sources, [], [])[0]
            if wakeup.reader in ready:
                os.read(wakeup.reader, _PIECE)
                if wakeup.over:
                    return
                resized()
            if source in ready and not _pass_on(source, process):
                source = None

    def run() -> None:
        # Whoever reads the output learns of the end, too.
        with suppress(BrokenPipeError, WorkspaceLost):
            send()

    thread = threading.Thread(target=run, name="codex-workspace-stdin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        wakeup.over = True
        wakeup.ring()
        # It may be sending to a process that does not read.
        thread.join(_PATIENCE)


def _pass_on(source: int, process: Process) -> bool:
    """
    Whether there may be more input.
    """
    try:
        data = os.read(source, _PIECE)
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
    Read what has come. To flush a terminal is not enough: more may wait
    behind what it has room for.
    """
    with suppress(OSError):
        for _ in range(_MOST_DISCARDED):
            if not select.select([stdin], [], [], 0)[0] or not os.read(stdin, _PIECE):
                return


def _copy(lines: Lines, fd: int) -> None:
    while piece := lines.piece():
        _write(fd, piece)


def _copy_while_taken(lines: Lines, fd: int) -> None:
    """
    For a thread. Nobody to take it is no reason to stop the process.
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
            # Whoever shares the terminal with us may have made it so.
            select.select([], [fd], [])
        except OSError as error:
            if error.errno == errno.EIO:
                raise BrokenPipeError(errno.EPIPE, "the terminal has hung up") from None
            raise


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
