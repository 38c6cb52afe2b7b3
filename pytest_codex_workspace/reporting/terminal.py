"""Progress on a terminal: one line below the others, rewritten until the step ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TextIO

from ..text.printable import printable
from ..unpatched import clock
from .output import Clock, Output, OutputMode, Step

__all__ = ["TerminalOutput", "is_terminal"]

_REDRAW_INTERVAL = 0.1
"""The least number of seconds between two redraws of the line."""


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """
    Check whether a line of *stream* can be rewritten.
    """
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb"


class TerminalOutput(Output):
    """
    Progress for a user at a terminal.

    Args:
        mode: as for `Output`.
        stream: the terminal.
        environ: with `NO_COLOR` set, the line has no colour of its own.
        clock: the monotonic clock; tests pass one of their own.
    """

    def __init__(
        self,
        mode: OutputMode,
        stream: TextIO,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock = clock.monotonic,
    ) -> None:
        super().__init__(mode, self._put, clock=clock)
        self._stream = stream
        self._dim = not environ.get("NO_COLOR")
        self._shown = 0
        self._last_drawn = float("-inf")

    def advanced(self, step: Step) -> None:
        """
        Redraw the line.
        """
        self._draw(step)

    def ticked(self, step: Step) -> None:
        """
        Redraw the line.
        """
        if self.is_last(step):
            step.look()
        self._draw(step)

    def ended(self, step: Step, *, ok: bool) -> None:
        """
        Erase the line, and write a line that stays.
        """
        with self._lock:
            self._erase()
            self._stream.flush()
        super().ended(step, ok=ok)

    def _draw(self, step: Step) -> None:
        if self.mode == "quiet" or not self.is_last(step):
            return
        with self._lock:
            now = self._clock()
            if now - self._last_drawn < _REDRAW_INTERVAL:
                return
            self._last_drawn = now
            # Some terminals begin a new line after the last column.
            width = shutil.get_terminal_size().columns - 1
            text = printable(f"codex: {step}").replace("\x1b", "")[:width]
            rest = " " * max(0, self._shown - len(text))
            self._shown = len(text)
            self._stream.write(f"\r\x1b[2m{text}\x1b[0m{rest}" if self._dim else f"\r{text}{rest}")
            self._stream.flush()

    def _put(self, line: str) -> None:
        self._erase()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def _erase(self) -> None:
        if self._shown:
            self._stream.write("\r" + " " * self._shown + "\r")
            self._shown = 0
