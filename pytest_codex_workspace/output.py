"""What a person sees while long steps run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .config import OutputMode

__all__ = ["Output", "printable"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """
    *text* without what could steer a terminal; colours stay.

    What runs in a workspace is not trusted with the user's terminal.
    """
    pieces: list[str] = []
    start = 0
    for colour in _COLOUR.finditer(text):
        pieces += (_CONTROL.sub("", text[start : colour.start()]), colour.group())
        start = colour.end()
    pieces.append(_CONTROL.sub("", text[start:]))
    reset = "\x1b[0m" if start else ""
    return "".join(pieces) + reset


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
