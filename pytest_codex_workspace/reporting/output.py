"""Progress of long steps, reported to users one line at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from ..text.phrases import cut_middle
from ..text.printable import printable
from ..text.units import show_elapsed
from ..unpatched import clock

if TYPE_CHECKING:
    from ..engine.protocol import Advance

__all__ = ["Clock", "Output", "OutputMode", "Step"]

OutputMode = Literal["progress", "stream", "quiet"]

Clock = Callable[[], float]
"""Seconds from a fixed point in time, never going back."""

_PATIENCE = 4.0
"""
Seconds of silence after which a step reports that it is still running. With the second until the
next look, nobody waits for more than 5.
"""

_LATEST = 120
"""Characters of the last line of output that such a report shows."""


class Step:
    """
    An operation that takes time.

    Attributes:
        title: description of the operation.
        announced: whether the start and the end of the step are reported. Other
            steps are reported only if they take long.
        started: when the step began, in seconds of the monotonic clock.
        progress: how far the step has come; `None` if that is unknown.
        measure: returns the progress where nobody reports it; called now and then by a thread.
        doing: which part of the step is running.
        latest: the last line that it printed.
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
        self.measure: Callable[[], Advance | None] | None = None
        self.doing = ""
        self.latest = ""
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

    def look(self) -> None:
        """
        Measure the progress.
        """
        measure = self.measure
        if measure is not None:
            # What is measured may be gone by now.
            with suppress(OSError):
                self.progress = measure() or self.progress

    def begin(self, doing: str, measure: Callable[[], Advance | None] | None = None) -> None:
        """
        Enter the next part of the step, which has a progress of its own.
        """
        self.doing, self.progress, self.measure = doing, None, measure

    def __str__(self) -> str:
        """
        Describe the state of the step: `pulling x: 43 %, 3 of 12 layers, 25 s`.
        """
        parts = [self.doing, str(self.progress or "")]
        parts = [" ".join(part for part in parts if part)] if any(parts) else []
        return f"{self.title}: {', '.join([*parts, show_elapsed(self.duration)])}"


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
        # Of several steps that run at the same time, the one that began last is reported.
        self._steps: list[Step] = []
        self._guard = threading.Lock()
        # Of several processes of one run, one tells what all of them find.
        self.is_news: Callable[[str, Mapping[str, Any]], bool] = lambda _event, _fields: True

    def note(self, text: str) -> None:
        """
        Show one fact, such as a runtime whose version differs from Codex's.
        """
        if self.mode != "quiet":
            self._write_line(f"codex: {printable(text)}")

    def tell(self, event: str, text: str, **fields: Any) -> None:
        """
        Show one fact, which programs get as an *event* with *fields*.
        """
        if self.is_news(event, fields):
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
        with self._guard:
            self._steps.append(step)
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
            with self._guard:
                self._steps.remove(step)
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
        separate thread.
        """
        if not self.is_last(step) or self.mode == "quiet":
            return
        silence = self._clock() - max(self._last_write, step.started)
        if silence >= self._patience:
            step.look()
            latest = cut_middle(" ".join(step.latest.split()), _LATEST)
            self.note(f"{step} so far" + (f"; last line: {latest}" if latest else ""))

    def is_last(self, step: Step) -> bool:
        """
        Return whether no step that is running began after *step*.
        """
        with self._guard:
            return bool(self._steps) and self._steps[-1] is step

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
