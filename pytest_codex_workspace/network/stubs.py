"""
Stubs and faults that a test installs, and the requests they handled.
"""

from __future__ import annotations

import base64
import json as jsonlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .matching import Matcher
from .rules.header_fields import check_header

if TYPE_CHECKING:
    from .rules.request import Request

__all__ = ["BODY_LIMIT", "FAULTS", "Route", "fault_fields", "stub_fields"]

BODY_LIMIT = 16 << 20
"""Maximum size of a stub's body, in bytes."""

LONGEST_LATENCY = 3600
"""Maximum delay of a fault, in seconds."""

FAULTS: Mapping[str, tuple[str, ...]] = {
    "latency": ("seconds",),
    "reset": (),
    "status": ("status",),
    "truncate": ("after",),
}
"""The kinds of faults, and the keywords that each takes."""

_LARGEST = 1 << 53
_LARGEST_HEAD = 60 * 1024
_NOT_IN_STUBS = frozenset({"trailer", "transfer-encoding", "upgrade"})


class Route:
    """
    A stub or a fault of one workspace.

    `NetworkLog.stub` and `NetworkLog.fault` create routes.

    Args:
        number: id of the route.
        matcher: selects the requests that the route handles.
        log: returns all requests of the workspace so far.
        remove: removes the route with the given id from the proxy.
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
        Show the filters of the route.
        """
        return f"<{type(self).__name__} {self.matcher}>"

    @property
    def calls(self) -> list[Request]:
        """
        The requests that this route handled, oldest first.
        """
        return [request for request in self._log() if self.id in request.routes]

    @property
    def called(self) -> bool:
        """
        Whether this route has handled a request.
        """
        return bool(self.calls)

    def remove(self) -> None:
        """
        Remove the route, so that it handles no further requests.

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
    Return the matcher of a stub and the fields to send to the proxy.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """
    bodies = {"json": json, "text": text, "content": content}
    given = [name for name, value in bodies.items() if value is not None]
    if len(given) > 1:
        raise TypeError(f"a stub has only one body; {' and '.join(given)} were given")
    if not _is_int(status) or not 200 <= status <= 599:
        raise ValueError(f"status={status!r} is not a status code from 200 to 599")
    if content is not None and not isinstance(content, bytes):
        raise TypeError(f"content must be bytes, not {content!r}; for a string, use text")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"text must be a string, not {text!r}")
    kind, body = "", content or b""
    if json is not None:
        kind, body = "application/json", jsonlib.dumps(json, allow_nan=False).encode()
    elif text is not None:
        kind, body = "text/plain; charset=utf-8", text.encode()
    if len(body) > BODY_LIMIT:
        raise ValueError(
            f"the body of a stub has {len(body)} bytes, more than the limit of {BODY_LIMIT}"
        )
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
    Return the matcher of a fault and the fields to send to the proxy.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """
    if kind not in FAULTS:
        raise ValueError(f"kind={kind!r} is not a fault; the kinds are {', '.join(FAULTS)}")
    if times is not None and (not _is_int(times) or not 1 <= times <= _LARGEST):
        raise ValueError(f"times={times!r} is not a positive number of requests")
    values: dict[str, Any] = {
        name: rest.pop(name) for name in ("seconds", "status", "after") if name in rest
    }
    if foreign := [name for name in values if name not in FAULTS[kind]]:
        own = f"it takes only {FAULTS[kind][0]}" if FAULTS[kind] else "it takes no such keywords"
        raise TypeError(f"a fault of kind {kind!r} does not take {foreign[0]}; {own}")
    if kind == "latency":
        seconds = values.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise TypeError("a fault of kind 'latency' needs seconds=, a positive number")
        if seconds > LONGEST_LATENCY:
            raise ValueError(f"seconds={seconds!r} is longer than the limit of {LONGEST_LATENCY}")
    if kind == "status":
        status = values.setdefault("status", 503)
        if not _is_int(status) or not 400 <= status <= 599:
            raise ValueError(f"status={status!r} is not an error status code from 400 to 599")
    after = values.get("after")
    if after is not None and (not _is_int(after) or not 0 <= after <= _LARGEST):
        raise ValueError(f"after={after!r} is not a number of bytes")
    matcher, fields = _matcher("fault", rest)
    return matcher, {**fields, **values, "kind": kind, "times": times}


def _matcher(what: str, match: dict[str, Any]) -> tuple[Matcher, dict[str, Any]]:
    known = ("host", "path", "path__regex", "method")
    if unknown := sorted(set(match) - set(known)):
        raise TypeError(
            f"a {what} does not take {unknown[0]!r}; its filters are {', '.join(known)}"
        )
    given = {key: value for key, value in match.items() if value is not None}
    if not given:
        raise TypeError(f"a {what} needs a filter: give a host, a path or a method")
    matcher = Matcher(**given)
    fields = {key.replace("__", "_"): value for key, value in given.items()}
    if "method" in fields:
        fields["method"] = fields["method"].upper()
    return matcher, fields


def _headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping of names to values, not {headers!r}")
    for name, value in headers.items():
        check_header(name, value, _NOT_IN_STUBS)
    size = sum(len(name) + len(value) for name, value in headers.items())
    if size > _LARGEST_HEAD:
        raise ValueError(
            f"the headers have {size} characters, more than the limit of {_LARGEST_HEAD}"
        )
    return list(headers.items())


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
