"""
Docker's newer builder, which engines from Docker 23 on prefer.

It takes a build context like the classic builder, and needs no session with its client as long as
every base image is on the engine and has a name. What it tells of a build is a protocol buffer
(`moby.buildkit.v1.StatusResponse`) in each message; this is the part of the format that is needed.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .progress import Progress

__all__ = ["BuildTrace", "needs_name", "wants_buildkit"]

_TRACE = "moby.buildkit.trace"

_NAME = re.compile(r"\[(?!internal\])[^\]]+\] (.+)", re.DOTALL)
"""A step of the Dockerfile: `[2/3] RUN x`, `[stage 2/3] RUN x`."""

_UNNAMED = re.compile(r"(sha256:)?[0-9a-f]{64}|.*@sha256:[0-9a-f]{64}")

_YES = ("1", "t", "T", "true", "TRUE", "True")
_NO = ("0", "f", "F", "false", "FALSE", "False")

_TAIL = 30
"""Lines kept of each step's output."""

_LONGEST = 1 << 16
"""Characters of a line without an end that are kept."""


def wants_buildkit(ping: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """
    Return whether to build with BuildKit: as the docker command, by `DOCKER_BUILDKIT`, otherwise by
    what the engine prefers.

    Args:
        ping: the headers of the engine's answer to `/_ping`.
        environ: the environment.
    """
    if ping.get("Libpod-Api-Version"):
        # Podman has a builder of its own.
        return False
    wanted = environ.get("DOCKER_BUILDKIT", "")
    if wanted in _YES or wanted in _NO:
        return wanted in _YES
    return ping.get("Builder-Version") == "2"


def needs_name(reference: str) -> bool:
    """
    Return whether BuildKit would look for the image *reference* in a registry, because it is an id
    or a digest.
    """
    return _UNNAMED.fullmatch(reference) is not None


@dataclass(slots=True)
class _Step:
    """
    A step of the build: its text and the end of its output.
    """

    text: str
    line: str = ""
    partial: str = ""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))


class BuildTrace:
    """
    Passes the messages of a build on. Those of BuildKit become what the classic builder would say:
    `Step 2/3 : RUN x`, and the output in lines.

    Args:
        progress: takes what the classic builder would say.
        names: names that exist for this build only, and what each stands for.
    """

    def __init__(self, progress: Progress, names: Mapping[str, str]) -> None:
        self._progress = progress
        self._names = names
        self._steps: dict[bytes, _Step] = {}
        self._started = 0

    def feed_line(self, line: bytes | str) -> None:
        """
        Process one message as the engine sends it.
        """
        if not line.strip():
            return
        message = json.loads(line)
        if message.get("id") != _TRACE:
            self._progress.feed(message)
            return
        try:
            self._status(base64.b64decode(message.get("aux") or ""))
        except (ValueError, LookupError, TypeError, AttributeError):
            # A newer format: the build itself goes on.
            return

    def _status(self, data: bytes) -> None:
        parts = list(_fields(data))
        vertices = [dict(_fields(value)) for number, value in parts if number == 1]
        for one in vertices:
            self._announce(one)
        for one in vertices:
            self._begin(one)
        for number, value in parts:
            if number == 3:
                self._log(dict(_fields(value)))
        for one in vertices:
            self._end(one)

    def _announce(self, vertex: Mapping[int, Any]) -> None:
        name = _NAME.match(vertex.get(3, b"").decode(errors="replace"))
        if name and vertex[1] not in self._steps:
            text = " ".join(name[1].split("\n"))
            for known, meant in self._names.items():
                shown = rf"docker\.io/library/{re.escape(known)}(@sha256:[0-9a-f]+)?"
                text = re.sub(shown, meant, text)
            self._steps[vertex[1]] = _Step(text)

    def _begin(self, vertex: Mapping[int, Any]) -> None:
        step = self._steps.get(vertex[1])
        if step is None or step.line or 5 not in vertex:
            return
        self._started += 1
        step.line = f"Step {self._started}/{len(self._steps)} : {step.text}"
        self._tell(step.line)
        if vertex.get(4):
            self._tell(" ---> Using cache")

    def _log(self, log: Mapping[int, Any]) -> None:
        step = self._steps.get(log.get(1, b""))
        if step is None:
            return
        *lines, step.partial = (step.partial + log.get(4, b"").decode(errors="replace")).split("\n")
        if len(step.partial) > _LONGEST:
            lines.append(step.partial)
            step.partial = ""
        for line in lines:
            self._output(step, line)

    def _end(self, vertex: Mapping[int, Any]) -> None:
        step = self._steps.get(vertex[1])
        if step is None or 6 not in vertex:
            return
        if step.partial:
            self._output(step, step.partial)
            step.partial = ""
        if vertex.get(7):
            self._progress.blame(step.line, step.tail)

    def _output(self, step: _Step, line: str) -> None:
        step.tail.append(line.rstrip("\r").rpartition("\r")[2])
        self._tell(line)

    def _tell(self, line: str) -> None:
        self._progress.feed({"stream": f"{line}\n"})


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """
    Yield the fields of a protocol buffer: number, and a number or bytes.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + size > len(data):
            raise ValueError("a field is longer than its message")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")
