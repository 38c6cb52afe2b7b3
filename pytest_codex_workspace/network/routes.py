"""
Answers and faults that a test asks for, and what came of them.
"""

from __future__ import annotations

import base64
import json as jsonlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .matching import Matcher

if TYPE_CHECKING:
    from .request import Request

__all__ = ["BODY_LIMIT", "FAULTS", "Route", "fault_fields", "stub_fields"]

BODY_LIMIT = 16 << 20
"""Bytes in the largest body that a stub may answer with."""

FAULTS: Mapping[str, tuple[str, ...]] = {
    "latency": ("seconds",),
    "reset": (),
    "status": ("status",),
    "truncate": ("after",),
}
"""The kinds of faults, and the keyword that each takes."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Route:
    """
    A stub or a fault of one workspace. `NetworkLog.stub` and
    `NetworkLog.fault` make them.

    Args:
        number: its id.
        matcher: which requests it is for.
        log: every request of the workspace so far.
        remove: takes it out of the proxy.
    """

    def __init__(
        self,
        number: int,
        matcher: Matcher,
        log: Callable[[], list[Request]],
        remove: Callable[[int], None],
    ) -> None:
        self.id = number
        self.matcher = matcher
        self._log = log
        self._remove = remove

    def __repr__(self) -> str:
        """
        What it is for.
        """
        return f"<{type(self).__name__} {self.matcher}>"

    @property
    def calls(self) -> list[Request]:
        """
        The requests it had a part in, oldest first.
        """
        return [request for request in self._log() if self.id in request.routes]

    @property
    def called(self) -> bool:
        """
        Whether there was such a request.
        """
        return bool(self.calls)

    def remove(self) -> None:
        """
        Let it apply to no further request.

        Raises:
            WorkspaceLost: the workspace has ended.
            ProxyError: the proxy has ended.
        """
        self._remove(self.id)


def stub_fields(
    *,
    status: int = 200,
    json: Any = None,
    text: str | None = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    **match: Any,
) -> tuple[Matcher, dict[str, Any]]:
    """
    What a stub is for, and what the proxy is told of it.

    Raises:
        TypeError, ValueError: an argument that makes no sense.
    """
    bodies = {"json": json, "text": text, "content": content}
    given = [name for name, value in bodies.items() if value is not None]
    if len(given) > 1:
        raise TypeError(f"a stub has one body, not {' and '.join(given)}")
    if not _is_int(status) or not 200 <= status <= 599:
        raise ValueError(f"status={status!r} is not a status from 200 to 599")
    if content is not None and not isinstance(content, bytes):
        raise TypeError(f"content is bytes, not {content!r}; for a string use text")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"text is a string, not {text!r}")
    kind, body = "", content or b""
    if json is not None:
        kind, body = "application/json", jsonlib.dumps(json).encode()
    elif text is not None:
        kind, body = "text/plain; charset=utf-8", text.encode()
    if len(body) > BODY_LIMIT:
        raise ValueError(f"a stub's body has at most {BODY_LIMIT} bytes, this one has {len(body)}")
    pairs = [*_headers(headers or {})]
    if kind and "content-type" not in (name.lower() for name, _ in pairs):
        pairs.append(("content-type", kind))
    matcher, fields = _matcher("stub", match)
    return matcher, {
        **fields,
        "kind": "stub",
        "status": status,
        "headers": pairs,
        "body": base64.b64encode(body).decode("ascii"),
    }


def fault_fields(
    *, kind: str, times: int | None = None, **rest: Any
) -> tuple[Matcher, dict[str, Any]]:
    """
    What a fault is for, and what the proxy is told of it.

    Raises:
        TypeError, ValueError: an argument that makes no sense.
    """
    if kind not in FAULTS:
        raise ValueError(f"kind={kind!r} is no fault; the kinds are {', '.join(FAULTS)}")
    if times is not None and (not _is_int(times) or times < 1):
        raise ValueError(f"times={times!r} is not a number of requests above 0")
    values: dict[str, Any] = {
        name: rest.pop(name) for name in ("seconds", "status", "after") if name in rest
    }
    if foreign := [name for name in values if name not in FAULTS[kind]]:
        own = f"it takes {FAULTS[kind][0]}" if FAULTS[kind] else "it takes none"
        raise TypeError(f"a fault of kind {kind!r} has no {foreign[0]}; {own}")
    if kind == "latency":
        seconds = values.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise TypeError("a fault of kind 'latency' needs seconds=, a number above 0")
    if kind == "status":
        status = values.setdefault("status", 503)
        if not _is_int(status) or not 400 <= status <= 599:
            raise ValueError(f"status={status!r} is not that of an error, 400 to 599")
    after = values.get("after")
    if after is not None and (not _is_int(after) or after < 0):
        raise ValueError(f"after={after!r} is not a number of bytes")
    matcher, fields = _matcher("fault", rest)
    return matcher, {**fields, **values, "kind": kind, "times": times}


def _matcher(what: str, match: dict[str, Any]) -> tuple[Matcher, dict[str, Any]]:
    known = ("host", "path", "path__regex", "method")
    if unknown := sorted(set(match) - set(known)):
        raise TypeError(f"a {what} has no {unknown[0]!r}; it is for a {', '.join(known)}")
    given = {key: value for key, value in match.items() if value is not None}
    if not given:
        raise TypeError(f"a {what} is for a host, a path or a method: name at least one")
    matcher = Matcher(**given)
    fields = {key.replace("__", "_"): value for key, value in given.items()}
    if "method" in fields:
        fields["method"] = fields["method"].upper()
    return matcher, fields


def _headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"{value!r} is not what the header {name} can be: one line of text")
    return list(headers.items())


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
