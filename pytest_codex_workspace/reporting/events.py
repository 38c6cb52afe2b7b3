"""Progress for programs: one JSON object on each line. docs/events.md describes the objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..network.rules.request import Request
from ..text.printable import without_surrogates
from ..unpatched import clock
from .output import Clock, Output, OutputMode, Step

__all__ = ["EventOutput", "event_line", "facts_of"]

_PROGRESS_INTERVAL = 1.0
"""The least number of seconds between two progress events of the same step."""


def event_line(event: str, **fields: Any) -> str:
    """
    Return one event as a line of ASCII, which cannot control a terminal or a CI service.
    """
    text = json.dumps(
        {"time": round(clock.wall_time(), 3), "event": event, **fields},
        ensure_ascii=False,
        default=str,
    )
    # Whatever it quotes: GitHub's runner looks for commands that begin with this in every line.
    return json.dumps(json.loads(without_surrogates(text))).replace("##[", "#\\u0023[")


def facts_of(request: Request) -> dict[str, Any]:
    """
    Return the fields of a request without its bodies.
    """
    names = ("time", "phase", "method", "url", "host", "port", "status", "size", "duration")
    judgement = ("verdict", "reason", "explanation", "process")
    return {name: getattr(request, name) for name in (*names, *judgement)}


class EventOutput(Output):
    """
    Progress for programs.

    Args:
        mode: as for `Output`; with `quiet`, only `event` writes.
        write: takes one line without its line end.
        clock: the monotonic clock; tests pass one of their own.
    """

    def __init__(
        self, mode: OutputMode, write: Callable[[str], None], *, clock: Clock = clock.monotonic
    ) -> None:
        super().__init__(mode, write, clock=clock)
        self._numbers: dict[Step, int] = {}
        self._last_progress: dict[Step, float] = {}
        self._count = 0

    def event(self, event: str, **fields: Any) -> None:
        """
        Write an event in any mode.
        """
        self._write_line(event_line(event, **fields))

    def note(self, text: str) -> None:
        """
        Write one fact.
        """
        self._progress("note", text=text)

    def tell(self, event: str, text: str, **fields: Any) -> None:
        """
        Write one fact as an event of its own.
        """
        self._progress(event, text=text, **fields)

    def script(self, line: str) -> None:
        """
        Write one line that a setup script printed.
        """
        self._progress("script", line=line)

    def detail(self, line: str) -> None:
        """
        Write one line of an image build.
        """
        if self.mode == "stream":
            self._progress("detail", line=line)

    def started(self, step: Step) -> None:
        """
        Write the start of *step*, with the number that its events share; of one that is not
        announced once its progress is known.
        """
        if step.announced:
            self._begin(step)

    def _begin(self, step: Step) -> None:
        with self._guard:
            if step in self._numbers:
                return  # Another thread has measured it.
            self._count += 1
            self._numbers[step] = self._count
        self._progress("step-started", step=self._numbers[step], title=step.title)

    def advanced(self, step: Step) -> None:
        """
        Write how far *step* has come, but not more than once a second.
        """
        progress = step.progress
        if progress is None:
            return
        if step not in self._numbers:
            self._begin(step)
        number = self._numbers[step]
        now, last = self._clock(), self._last_progress.get(step, float("-inf"))
        if progress.percent != 100 and now - last < _PROGRESS_INTERVAL:
            return
        self._last_progress[step] = now
        self._progress(
            "progress",
            step=number,
            done=progress.done,
            total=progress.total or None,
            unit=progress.unit,
            percent=progress.percent,
        )

    def ticked(self, step: Step) -> None:
        """
        Write how far *step* has come, where that is measured. A program has a clock of its own.
        """
        if step.measure is not None and self.mode != "quiet":
            step.look()
            self.advanced(step)

    def ended(self, step: Step, *, ok: bool) -> None:
        """
        Write the end of *step*.
        """
        number = self._numbers.pop(step, None)
        if number is None:
            return
        self._last_progress.pop(step, None)
        self._progress(
            "step-ended",
            step=number,
            title=step.title,
            duration=round(step.duration, 3),
            ok=ok,
        )

    def _progress(self, event: str, **fields: Any) -> None:
        if self.mode != "quiet":
            self.event(event, **fields)
