"""Signals that ask this process to end: it cleans up first, and then ends by that signal."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, NoReturn

from ..unpatched.clock import monotonic, sleep

__all__ = ["EndingSignals", "Interrupted", "die_by"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_REPEATED = 1.0
"""Seconds in which the same Ctrl-C may arrive twice, for example from `timeout` and the shell."""

_IMPATIENT = (
    b"\ncodex-workspace: interrupted again, so the clean-up stops here; containers end by "
    b"themselves, and `codex-workspace clean` removes the rest\n"
)


class Interrupted(KeyboardInterrupt):
    """
    This process was asked to end.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class EndingSignals:
    """
    While the context is open, SIGINT, SIGTERM and SIGHUP raise `Interrupted` in the main thread,
    so that everything that cleans up does so.

    One that is ignored stays ignored: `nohup` has SIGHUP ignored, and a shell has SIGINT ignored
    for a command in the background. One that somebody else handles is left alone. Further signals
    do not disturb the clean-up, except a second Ctrl-C, which ends this process at once.

    Args:
        numbers: the signals.
        clock: the monotonic clock; tests pass one of their own.
        die: ends this process by a signal; tests pass one of their own.

    Attributes:
        received: the first signal that arrived, if any.
    """

    ending = False
    """Whether this process has been asked to end. What its threads still say is of no interest."""

    def __init__(
        self,
        numbers: tuple[signal.Signals, ...] = _NUMBERS,
        *,
        clock: Callable[[], float] = monotonic,
        die: Callable[[int], Any] | None = None,
    ) -> None:
        self.received: int | None = None
        self._numbers = numbers
        self._clock = clock
        self._die = die or die_by
        self._at = 0.0
        self._before: dict[int, Any] = {}
        self._hook: Callable[[Any], Any] = sys.unraisablehook

    def __enter__(self) -> EndingSignals:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                before = signal.getsignal(number)
                if before in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._take)
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, before)
        self._before.clear()
        if sys.unraisablehook == self._unraisable:
            sys.unraisablehook = self._hook

    def _unraisable(self, failure: Any) -> None:
        if not isinstance(failure.exc_value, Interrupted):
            self._hook(failure)
            return
        # It came while an object was deleted, where nobody can catch it.
        self.received = None
        self._send_later(failure.exc_value.number)

    @staticmethod
    def _send_later(number: int) -> None:
        """
        Send this process a signal again, a little later.
        """

        def send() -> None:
            sleep(0.01)
            os.kill(os.getpid(), number)

        # `Thread.start` would wait for it, perhaps longer than that.
        _thread.start_new_thread(send, ())

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = self._clock()
        if self.received is None and _is_within(frame, self._unraisable.__code__):
            # Nobody can catch it here either.
            self._send_later(number)
            return
        if self.received is None:
            self.received, self._at = number, now
            EndingSignals.ending = True
            raise Interrupted(number)
        if number == signal.SIGINT and now - self._at > _REPEATED:
            with suppress(OSError):
                os.write(2, _IMPATIENT)
            self._die(number)


def _is_within(frame: FrameType | None, code: CodeType) -> bool:
    """
    Return whether *frame* runs *code*, or what it calls.
    """
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def die_by(number: int) -> NoReturn:
    """
    End this process by a signal, so that its parent sees which one it was.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    # A process that is the first of its container ignores signals that it does not handle.
    os._exit(128 + number)
