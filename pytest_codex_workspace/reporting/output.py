"""Progress of long steps, reported to users one line at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from ..text.printable import printable
from ..text.units import show_duration
from ..unpatched import clock

if TYPE_CHECKING:
    from ..engine.protocol import Advance

__all__ = ["Clock", "Output", "OutputMode", "Step"]

OutputMode = Literal["progress", "stream", "quiet"]

Clock = Callable[[], float]
"""Seconds from a fixed point in time, never going back."""

_PATIENCE = 10.0
"""Seconds of silence after which a step reports that it is still running."""

_LONGEST_PAUSE = 60.0
"""The largest number of seconds between two such reports."""


class Step:
    """
    An operation that takes time.

    Attributes:
        title: description of the operation.
        announced: whether the start and the end of the step are reported. Other
            steps are reported only if they take long.
        started: when the step began, in seconds of the monotonic clock.
        progress: how far the step has come; `None` if that is unknown.
    """

    def __init__(
        self,
        title: str,
        advanced: Callable[[Step], None],
        *,
        announced: bool,
        clock: Clock = clock.monotonic,
    ) -> None:
        self.title = title
        self.announced = announced
        self.started = clock()
        self.progress: Advance | None = None
        self._advanced = advanced
        self._clock = clock

    @property
    def duration(self) -> float:
        """
        Seconds since the step began.
        """
        return self._clock() - self.started

    def advance(self, progress: Advance) -> None:
        """
        Report how far the step has come.
        """
        self.progress = progress
        self._advanced(self)

    def __str__(self) -> str:
        """
        Describe the state of the step: `pulling x: 43 %, 3 of 12 layers, 25 s`.
        """
        parts = [str(self.progress)] if self.progress else []
        return f"{self.title}: {', '.join([*parts, show_duration(self.duration)])}"


class Output:
    """
    Progress as plain lines that are never rewritten.

    Subclasses show steps in another way: they override `started`, `advanced`,
    `ticked` and `ended`, which are called for each step.

    Args:
        mode: `progress` shows steps and the output of scripts, `stream` also
            the output of image builds, `quiet` nothing.
        write: takes one line without its line end.
        patience: seconds of silence after which a step reports that it is still
            running.
        clock: the monotonic clock; tests pass one of their own.
    """

    period = 1.0
    """Seconds between two calls of `ticked`."""

    def __init__(
        self,
        mode: OutputMode,
        write: Callable[[str], None],
        *,
        patience: float = _PATIENCE,
        clock: Clock = clock.monotonic,
    ) -> None:
        self.mode = mode
        self._write = write
        self._patience = patience
        self._clock = clock
        self._lock = threading.RLock()
        self._last_write = float("-inf")

    def note(self, text: str) -> None:
        """
        Show one fact, such as a runtime whose version differs from Codex's.
        """
        if self.mode != "quiet":
            self._write_line(f"codex: {printable(text)}")

    def tell(self, event: str, text: str, **fields: Any) -> None:  # noqa: ARG002 -- for programs
        """
        Show one fact, which programs get as an *event* with *fields*.
        """
        self.note(text)

    def script(self, line: str) -> None:
        """
        Show one line that a setup script printed.
        """
        if self.mode != "quiet":
            self._write_line(f"  | {printable(line)}")

    def detail(self, line: str) -> None:
        """
        Show one line of an image build.
        """
        if self.mode == "stream":
            self._write_line(f"  . {printable(line)}")

    @contextmanager
    def step(self, title: str, *, announced: bool = True) -> Iterator[Step]:
        """
        Report a step: its start, that it is still running, and how long it took.
        """
        step = Step(title, self.advanced, announced=announced, clock=self._clock)
        self.started(step)
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
            self.ended(step, ok=ok)

    def started(self, step: Step) -> None:
        """
        Report that *step* begins.
        """
        if step.announced:
            self.note(f"{step.title} ...")

    def advanced(self, step: Step) -> None:
        """
        Report that *step* has come further. Here the next tick reports it.
        """

    def ticked(self, step: Step) -> None:
        """
        Report that *step* is still running. Called once every `period` by a
        separate thread. The longer the step runs, the rarer the reports.
        """
        silence = self._clock() - max(self._last_write, step.started)
        longest_pause = _LONGEST_PAUSE / _PATIENCE * self._patience
        if silence >= min(longest_pause, max(self._patience, step.duration / 2)):
            self.note(f"{step} so far")

    def ended(self, step: Step, *, ok: bool) -> None:
        """
        Report that *step* has ended. The code that handles the exception reports a
        failure.
        """
        if ok and step.announced:
            self.note(f"{step.title}: {step.duration:.1f} s")

    def _watch(self, step: Step, over: threading.Event) -> None:
        while not over.wait(min(self.period, self._patience)):
            # The reader may be gone. The next line of the main thread reports that.
            with suppress(OSError, ValueError):
                self.ticked(step)

    def _write_line(self, line: str) -> None:
        # Each step writes from a separate thread.
        with self._lock:
            self._last_write = self._clock()
            self._write(line)
