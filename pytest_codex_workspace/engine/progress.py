"""The messages an engine sends while it builds or pulls, as lines for people."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Progress"]

_STEP = re.compile(r"step \d+/\d+ ?: ", re.IGNORECASE)

_NOISE = re.compile(
    r"( ---> ([0-9a-f]{12}|Running in [0-9a-f]{12})|Removing intermediate container [0-9a-f]{12})$"
)

_OWN = re.compile(r"step \d+/\d+ ?: | ---> |Removing intermediate container ", re.IGNORECASE)
"""How the engine's own lines begin. What a command printed may lack its line's end before one."""

_TAIL = 30
"""Lines kept of a step's output."""


class Progress:
    """
    Reads the engine's messages, passes lines on, and remembers what failed.

    Attributes:
        step: the build step that runs, as the engine names it.
        error: the engine's words when it failed, otherwise empty.
        image: id of the image that was made, empty until then.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.step = ""
        self.error = ""
        self.image = ""
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._partial = ""
        self._statuses: dict[str, str] = {}

    @property
    def tail(self) -> str:
        """
        The last lines that the step printed.
        """
        return "\n".join(self._tail)

    def feed(self, message: Mapping[str, Any]) -> None:
        """
        Take one message.
        """
        if "stream" in message:
            if _OWN.match(message["stream"]):
                self.finish()
            self._partial += message["stream"]
            *lines, self._partial = self._partial.split("\n")
            for line in lines:
                self._line(line)
        elif "error" in message or "errorDetail" in message:
            detail = message.get("errorDetail") or {}
            self.error = str(detail.get("message") or message.get("error") or "").strip()
        elif "aux" in message:
            self.image = str((message["aux"] or {}).get("ID", "")) or self.image
        elif "status" in message:
            self._status(str(message.get("id") or ""), str(message["status"]))

    def finish(self) -> None:
        """
        Pass on a last line without an end.
        """
        if self._partial:
            self._line(self._partial)
            self._partial = ""

    def _line(self, line: str) -> None:
        line = line.rstrip("\r").rpartition("\r")[2]
        if _NOISE.match(line):
            return
        if _STEP.match(line):
            self.step = line
            self._tail.clear()
        else:
            self._tail.append(line)
        self._on_line(line)

    def _status(self, layer: str, status: str) -> None:
        # A layer reports the same status many times a second, with a progress bar.
        if layer and self._statuses.get(layer) == status:
            return
        self._statuses[layer] = status
        self._on_line(f"{layer}: {status}" if layer else status)
