"""Lines and progress from the messages that an engine sends while it builds, pulls or pushes."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..protocol import Advance, OnAdvance

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Progress"]

_STEP = re.compile(r"step (\d+)/(\d+) ?: ", re.IGNORECASE)

_NOISE = re.compile(
    r"( ---> ([0-9a-f]{12}|Running in [0-9a-f]{12})|Removing intermediate container [0-9a-f]{12}"
    r"|--> [0-9a-f]{12})$"
)

_OWN = re.compile(
    r"step \d+/\d+ ?: | ---> |Removing intermediate container |--> |COMMIT(?: \S+)?$",
    re.IGNORECASE,
)
"""How the engine's own lines begin. Output of a command before one may lack its line end."""

_TAIL = 30
"""Lines kept of a step's output."""


_LAYER_STARTS = frozenset(
    {"Already exists", "Layer already exists", "Preparing", "Pulling fs layer", "Waiting"}
)
"""The first status of a layer. Lines such as `latest: Pulling from x` belong to no layer."""

_LAYER_ENDS = frozenset(
    {"Already exists", "Layer already exists", "Mounted from", "Pull complete", "Pushed"}
)


class Progress:
    """
    Reads the engine's messages, passes lines on, and remembers the failure.

    Args:
        on_line: takes one line for the user.
        on_advance: takes the progress whenever it changes.

    Attributes:
        step: the current build step, as the engine names it.
        error: the engine's message if it failed, otherwise empty.
        image: id of the image that was made, empty until then.
    """

    def __init__(self, on_line: Callable[[str], None], on_advance: OnAdvance | None = None) -> None:
        self.step = ""
        self.error = ""
        self.image = ""
        self._on_line = on_line
        self._on_advance = on_advance
        self._layers = _Layers()
        self._last: Advance | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._partial = ""
        self._statuses: dict[str, str] = {}

    @property
    def downloaded(self) -> int:
        """
        The number of bytes of all layers that were downloaded or announced.
        """
        return self._layers.downloaded

    @property
    def tail(self) -> str:
        """
        The last lines that the current step printed.
        """
        return "\n".join(self._tail)

    def feed_line(self, line: bytes | str) -> None:
        """
        Process one message as the engine sends it. An empty line has none.
        """
        if line.strip():
            self.feed(json.loads(line))

    def feed(self, message: Mapping[str, Any]) -> None:
        """
        Process one message.
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
            layer, status = str(message.get("id") or ""), str(message["status"])
            self._status(layer, status)
            self._layers.feed(layer, status, message.get("progressDetail") or {})
            self._report(self._layers.advance())

    def finish(self) -> None:
        """
        Pass on a last line that has no line end.
        """
        if self._partial:
            self._line(self._partial)
            self._partial = ""

    def _line(self, line: str) -> None:
        line = line.rstrip("\r").rpartition("\r")[2]
        if _NOISE.match(line):
            return
        if step := _STEP.match(line):
            self.step = line
            self._tail.clear()
            self._report(Advance(int(step[1]), int(step[2]), "steps"))
        else:
            self._tail.append(line)
        self._on_line(line)

    def _status(self, layer: str, status: str) -> None:
        # A layer reports the same status many times a second, with a progress bar.
        if layer and self._statuses.get(layer) == status:
            return
        self._statuses[layer] = status
        self._on_line(f"{layer}: {status}" if layer else status)

    def _report(self, advance: Advance | None) -> None:
        if self._on_advance is not None and advance is not None and advance != self._last:
            self._last = advance
            self._on_advance(advance)


@dataclass(slots=True)
class _Layer:
    """
    One layer: its size, known once the transfer begins, the shares that are
    transferred and unpacked, and the bytes that were received.
    """

    size: int = 0
    transferred: float = 0.0
    unpacked: float = 0.0
    received: int = 0


class _Layers:
    """
    Adds up the status of all layers of one image.
    """

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}
        self._ended: set[str] = set()
        self._unpacks = False
        self._percent: int | None = None

    def feed(self, name: str, status: str, detail: Mapping[str, Any]) -> None:
        """
        Process the status of the layer *name*.
        """
        # `Mounted from` is followed by a name.
        ended = status.startswith(tuple(_LAYER_ENDS))
        if name not in self._layers:
            if not name or not (ended or detail or status in _LAYER_STARTS):
                return
            self._layers[name] = _Layer()
        layer = self._layers[name]
        current, total = _number(detail, "current"), _number(detail, "total")
        if status == "Extracting":
            self._unpacks = True
            layer.transferred = 1.0
        elif status == "Download complete":
            layer.transferred = 1.0
        if status == "Downloading":
            # Without an announced size, the bytes so far are all that is known.
            layer.received = max(layer.received, current, total)
        if total:
            layer.size = max(layer.size, total)
            share = min(1.0, current / total)
            if status == "Extracting":
                layer.unpacked = share
            elif status in ("Downloading", "Pushing"):
                layer.transferred = share
        if status in ("Downloading", "Pulling fs layer"):
            self._unpacks = True
        if ended:
            self._ended.add(name)
            layer.transferred = layer.unpacked = 1.0

    @property
    def downloaded(self) -> int:
        """
        The number of bytes of all layers that were downloaded or announced.
        """
        return sum(one.received for one in self._layers.values())

    def advance(self) -> Advance | None:
        """
        Return the progress of all layers; `None` as long as there are none.
        """
        if not self._layers:
            return None
        return Advance(len(self._ended), len(self._layers), "layers", self._share())

    def _share(self) -> int | None:
        sized = [one for one in self._layers.values() if one.size]
        if not sized:
            return None
        # An unknown size is taken to be the mean: the engine reports it when the transfer begins.
        usual = sum(one.size for one in sized) / len(sized)
        relevant = {k: v for k, v in self._layers.items() if v.size or k not in self._ended}
        whole = sum(one.size or usual for one in relevant.values())
        done = sum((one.size or usual) * self._done(one) for one in relevant.values())
        # The percentage never decreases, even if a layer turns out to be larger than assumed.
        self._percent = max(self._percent or 0, int(100 * done / whole))
        return self._percent

    def _done(self, layer: _Layer) -> float:
        return (layer.transferred + layer.unpacked) / 2 if self._unpacks else layer.transferred


def _number(detail: Mapping[str, Any], name: str) -> int:
    value = detail.get(name)
    return value if isinstance(value, int) else 0
