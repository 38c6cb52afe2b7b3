"""What is told to programs: one JSON object a line. docs/events.md describes them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from .config import OutputMode
from .network.request import Request
from .output import Output, Step

__all__ = ["EventOutput", "event_line", "facts_of"]

_SURROGATE = re.compile("[\ud800-\udfff]")

_OFTEN = 1.0
"""Seconds between two events about how far the same step has come, at least."""


def event_line(event: str, **fields: Any) -> str:
    """
    One event as a line of ASCII, so that nothing in it steers a terminal.
    """
    text = json.dumps(
        {"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=False, default=str
    )
    # A name of a file may hold what no text can.
    return json.dumps(json.loads(_SURROGATE.sub("\ufffd", text)))


def facts_of(request: Request) -> dict[str, Any]:
    """
    The fields of a request, without its bodies.
    """
    names = ("time", "phase", "method", "url", "host", "port", "status", "size", "duration")
    said = ("verdict", "reason", "explanation")
    return {name: getattr(request, name) for name in (*names, *said)}


class EventOutput(Output):
    """
    Progress for programs.

    Args:
        mode: as for `Output`; with `quiet` there is only what the command itself tells.
        write: takes one line without its line end.
    """

    def __init__(self, mode: OutputMode, write: Callable[[str], None]) -> None:
        super().__init__(mode, write)
        self._numbers: dict[Step, int] = {}
        self._told: dict[Step, float] = {}
        self._count = 0
        self._guard = threading.Lock()

    def event(self, event: str, **fields: Any) -> None:
        """
        Tell something in any mode.
        """
        self._say(event_line(event, **fields))

    def note(self, text: str) -> None:
        """
        One fact.
        """
        self._progress("note", text=text)

    def script(self, line: str) -> None:
        """
        One line that a setup script printed.
        """
        self._progress("script", line=line)

    def detail(self, line: str) -> None:
        """
        One line of an image build.
        """
        if self.mode == "stream":
            self._progress("detail", line=line)

    def _progress(self, event: str, **fields: Any) -> None:
        if self.mode != "quiet":
            self.event(event, **fields)

    def _begun(self, step: Step) -> None:
        with self._guard:
            self._count += 1
            self._numbers[step] = self._count
        self._progress("step-started", step=self._numbers[step], title=step.title)

    def _moved(self, step: Step) -> None:
        come, number = step.come, self._numbers.get(step)
        if come is None or number is None:
            return
        if come.percent != 100 and time.monotonic() - self._told.get(step, -_OFTEN) < _OFTEN:
            return
        self._told[step] = time.monotonic()
        self._progress(
            "progress",
            step=number,
            done=come.done,
            total=come.total,
            unit=come.unit,
            percent=come.percent,
        )

    def _ticked(self, step: Step) -> None:
        """
        Programs have a clock.
        """

    def _ended(self, step: Step, *, ok: bool) -> None:
        number = self._numbers.pop(step)
        self._told.pop(step, None)
        self._progress(
            "step-ended",
            step=number,
            title=step.title,
            duration=round(step.duration, 3),
            ok=ok,
        )
