"""What a person sees while long steps run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .config import OutputMode
from .printable import printable

__all__ = ["Output"]


class Output:
    """
    Progress for people.

    Args:
        mode: `progress` shows steps and the output of scripts, `stream` also
            what image builds print, `quiet` nothing.
        write: takes one line without its line end.
    """

    def __init__(self, mode: OutputMode, write: Callable[[str], None]) -> None:
        self._mode = mode
        self._write = write

    def note(self, text: str) -> None:
        """
        Show one fact, such as a runtime that differs from Codex's.
        """
        if self._mode != "quiet":
            self._write(f"codex: {printable(text)}")

    def script(self, line: str) -> None:
        """
        Show one line that a setup script printed.
        """
        if self._mode != "quiet":
            self._write(f"  | {printable(line)}")

    def detail(self, line: str) -> None:
        """
        Show one line of an image build.
        """
        if self._mode == "stream":
            self._write(f"  . {printable(line)}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """
        Announce a step, and say how long it took.
        """
        self.note(f"{title} ...")
        started = time.monotonic()
        yield
        self.note(f"{title}: {time.monotonic() - started:.1f} s")
