"""
Messages between the proxy and the host: one JSON object per line.

A workspace influences what the proxy sends, so every value is validated. Each line is about one
thing, and is bounded where it is made; a line that makes no sense costs only what it is about.
"""

from __future__ import annotations

import base64
import json
from types import NoneType
from typing import TYPE_CHECKING, Any

from .matching import PHASES
from .rules.policy import REASONS, VERDICTS
from .rules.request import Request
from .rules.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LARGEST_NUMBER", "LINE_LIMIT", "LineBuffer", "decode", "encode", "request_from"]

LINE_LIMIT = 1 << 20
"""Maximum length of a line, in bytes."""

_FIELDS: Mapping[str, tuple[type, ...]] = {
    "id": (int,),
    "time": (float, int),
    "phase": (str,),
    "method": (str,),
    "scheme": (str,),
    "host": (str,),
    "port": (int,),
    "path": (str,),
    "url": (str,),
    "status": (int, NoneType),
    "size": (int, NoneType),
    "duration": (float, int, NoneType),
    "verdict": (str,),
    "reason": (str, NoneType),
    "explanation": (str,),
}
LARGEST_NUMBER = 253402300799
"""No number in a request is larger; as a time, it is the last second of the year 9999."""

_WORDS: Mapping[str, tuple[str | None, ...]] = {
    "phase": PHASES,
    "verdict": VERDICTS,
    "reason": (None, *REASONS),
}


class LineBuffer:
    """
    Splits a stream into lines and calls *on_line* with each.

    Of a line that is longer than `LINE_LIMIT`, only the beginning is passed on.
    """

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """
        Add the next piece of the stream.
        """
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest += line[: LINE_LIMIT - len(self._rest)]
            whole, self._rest = bytes(self._rest), bytearray()
            self._on_line(whole)
        self._rest += rest[: LINE_LIMIT - len(self._rest)]


def encode(message: Mapping[str, Any]) -> bytes:
    """
    Encode *message* as one line.
    """
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """
    Decode the message in one line.

    Raises:
        ValueError: the line is not a JSON object.
    """
    try:
        message = json.loads(line)
    except RecursionError:
        raise ValueError("a message that is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("a message that is not an object")
    return message


def request_from(message: Mapping[str, Any]) -> Request:
    """
    Return the request that an event describes.

    Raises:
        ValueError: a field is missing or has an invalid value.
    """
    values: dict[str, Any] = {}
    for field, kinds in _FIELDS.items():
        value = message.get(field)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"a request whose {field} is {value!r}")
        # Not a number, infinite, or a time that is no date.
        if isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER:
            raise ValueError(f"a request whose {field} is {value!r:.50}")
        if field in _WORDS and value not in _WORDS[field]:
            raise ValueError(f"a request whose {field} is {value!r}")
        values[field] = plain(value) if isinstance(value, str) else value
    routes = message.get("routes", [])
    if not isinstance(routes, list) or not all(isinstance(one, int) for one in routes):
        raise ValueError(f"a request whose routes are {routes!r}")
    values["routes"] = tuple(routes)
    # The record of an older image has none.
    process = message.get("process", "")
    if not isinstance(process, str):
        raise ValueError(f"a request whose process is {process!r}")
    values["process"] = plain(process)
    for field in ("request_body", "response_body"):
        if message.get(field) is not None:
            values[field] = base64.b64decode(message[field], validate=True)
    return Request(**values)
