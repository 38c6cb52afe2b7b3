"""Output for GitLab's CI: steps are sections of the log that can be opened."""

from __future__ import annotations

import itertools
import os
import threading

from ..text.printable import printable
from ..unpatched import clock
from .ci import CiService, Write
from .output import Clock, Output, OutputMode, Step

__all__ = ["GitLab", "SectionOutput"]

_LINE = "\x1b[0K"
_NUMBERS = itertools.count(1)


class GitLab(CiService):
    """
    GitLab's CI.
    """

    is_known = True

    def for_worker(self) -> CiService:
        """
        Return a service without sections, because those of several workers would overlap.
        """
        return CiService()

    def output(self, mode: OutputMode, write: Write) -> Output:
        """
        Return an output with a section for each step.
        """
        return SectionOutput(mode, write)


class SectionOutput(Output):
    """
    Progress as lines, in which each announced step is a collapsed section. Sections must not
    overlap, so a step of another thread has none.

    What ends a section holds control characters, which no line of a workspace has here.

    Args:
        mode: as for `Output`.
        write: takes one line without its line end.
        wall_time: the time for the marks, in seconds since the epoch.
        clock: as for `Output`.
    """

    def __init__(
        self,
        mode: OutputMode,
        write: Write,
        *,
        wall_time: Clock = clock.wall_time,
        clock: Clock = clock.monotonic,
    ) -> None:
        super().__init__(mode, write, clock=clock)
        self._wall_time = wall_time
        self._names: dict[Step, str] = {}
        self._thread = threading.get_ident()

    def started(self, step: Step) -> None:
        """
        Open a section.
        """
        if self.mode == "quiet" or not step.announced or threading.get_ident() != self._thread:
            super().started(step)
            return
        # Two commands of one job must not have a name in common.
        name = self._names[step] = f"codex_workspace_{os.getpid()}_{next(_NUMBERS)}"
        start = f"section_start:{self._wall_time():.0f}:{name}[collapsed=true]"
        self._write_line(f"{_LINE}{start}\r{_LINE}codex: {_one_line(step.title)} ...")

    def ended(self, step: Step, *, ok: bool) -> None:
        """
        Close the section, and write how long the step took.
        """
        name = self._names.pop(step, None)
        if name is not None:
            end = f"section_end:{self._wall_time():.0f}:{name}"
            self._write_line(f"{_LINE}{end}\r{_LINE}")
        super().ended(step, ok=ok)


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
