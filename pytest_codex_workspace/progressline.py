"""Steps on a person's terminal: one line below the others, rewritten until they end."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Mapping
from typing import TextIO

from .config import OutputMode
from .output import Output, Step
from .printable import printable

__all__ = ["TerminalOutput", "is_terminal"]

_OFTEN = 0.1
"""Seconds between two pictures of the same step, at least."""


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """
    Whether a line of *stream* can be rewritten.
    """
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb"


class TerminalOutput(Output):
    """
    Progress for somebody at a terminal.

    Args:
        mode: as for `Output`.
        stream: the terminal.
        environ: `NO_COLOR` leaves the line in the colour of the others.
    """

    def __init__(
        self, mode: OutputMode, stream: TextIO, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__(mode, self._put)
        self._stream = stream
        self._dim = not environ.get("NO_COLOR")
        self._shown = 0
        self._drawn = 0.0
        # Of two at a time the one that began last is shown.
        self._steps: list[Step] = []
        self._guard = threading.Lock()

    def _begun(self, step: Step) -> None:
        super()._begun(step)
        with self._guard:
            self._steps.append(step)

    def _moved(self, step: Step) -> None:
        self._draw(step)

    def _ticked(self, step: Step) -> None:
        self._draw(step)

    def _ended(self, step: Step, *, ok: bool) -> None:
        with self._guard:
            self._steps.remove(step)
        with self._lock:
            self._erase()
            self._stream.flush()
        super()._ended(step, ok=ok)

    def _draw(self, step: Step) -> None:
        with self._guard:
            shown = bool(self._steps) and self._steps[-1] is step
        if self.mode == "quiet" or not shown:
            return
        with self._lock:
            if time.monotonic() - self._drawn < _OFTEN:
                return
            self._drawn = time.monotonic()
            # In the last column some terminals begin a new line.
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
