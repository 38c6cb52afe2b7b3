"""What is told while long steps run: to people, a line at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .config import OutputMode
from .printable import printable
from .quantities import show_duration

if TYPE_CHECKING:
    from .engine.progress import Advance

__all__ = ["Output", "Step"]

_PATIENCE = 10.0
"""Seconds without a word after which a step says that it still runs."""

_RAREST = 60.0
"""Seconds between such words, at most."""


class Step:
    """
    One thing that takes time.

    Attributes:
        title: what it is.
        announced: whether people are told that it begins and ends; those that
            are not appear when they take long.
        started: on the monotonic clock.
        come: how far it has come, if that is known.
    """

    def __init__(self, title: str, moved: Callable[[Step], None], *, announced: bool) -> None:
        self.title = title
        self.announced = announced
        self.started = time.monotonic()
        self.come: Advance | None = None
        self._moved = moved

    @property
    def duration(self) -> float:
        """
        Seconds since it began.
        """
        return time.monotonic() - self.started

    def advance(self, come: Advance) -> None:
        """
        It has come further.
        """
        self.come = come
        self._moved(self)

    def __str__(self) -> str:
        """
        Where it is: `pulling x: 43 %, 3 of 12 layers, 25 s`.
        """
        parts = [str(self.come)] if self.come else []
        return f"{self.title}: {', '.join([*parts, show_duration(self.duration)])}"


class Output:
    """
    Progress for people, as lines that stay. What else tells of it
    (`progressline.TerminalOutput`, `events.EventOutput`) changes the methods.

    Args:
        mode: `progress` shows steps and the output of scripts, `stream` also
            what image builds print, `quiet` nothing.
        write: takes one line without its line end.
        patience: seconds without a word after which a step says that it still runs.
    """

    period = 1.0
    """Seconds between two looks at a step that runs."""

    def __init__(
        self, mode: OutputMode, write: Callable[[str], None], *, patience: float = _PATIENCE
    ) -> None:
        self.mode = mode
        self._write = write
        self._patience = patience
        self._lock = threading.RLock()
        self._said = 0.0

    def note(self, text: str) -> None:
        """
        Show one fact, such as a runtime that differs from Codex's.
        """
        if self.mode != "quiet":
            self._say(f"codex: {printable(text)}")

    def script(self, line: str) -> None:
        """
        Show one line that a setup script printed.
        """
        if self.mode != "quiet":
            self._say(f"  | {printable(line)}")

    def detail(self, line: str) -> None:
        """
        Show one line of an image build.
        """
        if self.mode == "stream":
            self._say(f"  . {printable(line)}")

    @contextmanager
    def step(self, title: str, *, announced: bool = True) -> Iterator[Step]:
        """
        Tell of a step: that it begins, that it still runs, and how long it took.
        """
        step = Step(title, self._moved, announced=announced)
        self._begun(step)
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(step, over), daemon=True)
        watch.start()
        ok = False
        try:
            yield step
            ok = True
        finally:
            over.set()
            watch.join()
            self._ended(step, ok=ok)

    def _watch(self, step: Step, over: threading.Event) -> None:
        while not over.wait(min(self.period, self._patience)):
            # Whoever reads may have gone; those who have something to say will notice.
            with suppress(OSError, ValueError):
                self._ticked(step)

    def _begun(self, step: Step) -> None:
        if step.announced:
            self.note(f"{step.title} ...")

    def _moved(self, step: Step) -> None:
        """
        How far a step has come is told with the time.
        """

    def _ticked(self, step: Step) -> None:
        silence = time.monotonic() - max(self._said, step.started)
        rarest = _RAREST / _PATIENCE * self._patience
        if silence >= min(rarest, max(self._patience, step.duration / 2)):
            self.note(f"{step} so far")

    def _ended(self, step: Step, *, ok: bool) -> None:
        if ok and step.announced:
            self.note(f"{step.title}: {step.duration:.1f} s")

    def _say(self, line: str) -> None:
        # Steps tell from threads of their own.
        with self._lock:
            self._said = time.monotonic()
            self._write(line)
