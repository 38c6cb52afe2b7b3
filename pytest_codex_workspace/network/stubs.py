"""
Stubs and faults that a test installs, and the requests they handled.
"""

from __future__ import annotations

import base64
import binascii
import json as jsonlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CodexWorkspaceError
from .matching import Matcher
from .rules.header_fields import check_header

if TYPE_CHECKING:
    from types import TracebackType

    from .rules.request import Request

__all__ = [
    "BODY_LIMIT",
    "FAULTS",
    "REQUEST_LIMIT",
    "Respond",
    "Route",
    "StubFunction",
    "StubRequest",
    "StubResponse",
    "fault_fields",
    "stub_fields",
]

BODY_LIMIT = 16 << 20
"""Maximum size of a stub's body, in bytes."""

REQUEST_LIMIT = 512 << 10
"""Maximum size of a request's body that a stub may look at, in bytes. The proxy has the same."""

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
_ERRORS = 100
"""Errors of one function that are kept."""


@dataclass(frozen=True, slots=True)
class StubRequest:
    """
    A request, as the function of a stub gets it. The workspace chooses what is in it.

    Attributes:
        method: the HTTP method, in upper case.
        scheme: `https` or `http`.
        host: the host.
        port: the port.
        path: path and query.
        headers: names and values of the header fields, in order.
        content: the body, as it was sent; at most 512 KiB with the header fields.
    """

    method: str
    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: bytes = field(default=b"", repr=False)

    @property
    def text(self) -> str:
        """
        The body as text; bytes that are not UTF-8 are replaced.
        """
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """
        Return the data in the body.

        Raises:
            ValueError: the body is not JSON.
        """
        return jsonlib.loads(self.content)

    def header(self, name: str) -> str | None:
        """
        Return the values of the header fields with *name*, in any case; `None` if there is none.
        """
        found = [value for one, value in self.headers if one.lower() == name.lower()]
        return ", ".join(found) if found else None


@dataclass(frozen=True, slots=True)
class StubResponse:
    """
    One response of a stub.

    Args:
        status: status code, 200 to 599.
        json: body, as data to serialise; `None` is `null`.
        text: body, as text.
        content: body, as bytes.
        headers: header fields.
    """

    status: int = 200
    json: Any = ...
    text: str | None = None
    content: bytes | None = None
    headers: Mapping[str, str] | None = None


Respond = Sequence[StubResponse] | Callable[[StubRequest], StubResponse]
"""
What a stub responds with: responses in order, the last of which is for all further requests; or
a function of the request.
"""


class StubFunction:
    """
    The function of a stub, which runs in a thread of this process, and its errors.

    Args:
        function: makes the response.
    """

    def __init__(self, function: Callable[[StubRequest], StubResponse]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._errors: list[Exception] = []

    @property
    def errors(self) -> list[Exception]:
        """
        What the function has raised, oldest first; at most 100.
        """
        with self._lock:
            return list(self._errors)

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the fields of the answer to a question of the proxy.

        Raises:
            ValueError: the question makes no sense.
        """
        request = _read_request(message)
        try:
            made = self._function(request)
            if not isinstance(made, StubResponse):
                raise TypeError(
                    f"the function of a stub must return a StubResponse, not {made!r:.200}"
                )
            return _response_fields(made)
        except Exception as error:
            with self._lock:
                if len(self._errors) < _ERRORS:
                    self._errors.append(error)
            # The workspace reads this. What the test knows stays in this process.
            return {"error": f"it raised {type(error).__name__} (`Route.errors` has it)"}


class Route:
    """
    A stub or a fault of one workspace, and a context manager, which removes it.

    `NetworkLog.stub` and `NetworkLog.fault` create routes.

    Args:
        number: id of the route.
        matcher: selects the requests that the route handles.
        log: returns all requests of the workspace so far.
        remove: removes the route with the given id from the proxy.
        kind: `stub` or `fault`.
        also: what else a request must have, which is not in the log.
        function: makes the responses, if there is one.
    """

    def __init__(
        self,
        number: int,
        matcher: Matcher,
        log: Callable[[], list[Request]],
        remove: Callable[[int], None],
        *,
        kind: str = "stub",
        also: str = "",
        function: StubFunction | None = None,
    ) -> None:
        self.id = number
        self.matcher = matcher
        self.kind = kind
        self.also = also
        self._log = log
        self._remove = remove
        self._function = function

    def __repr__(self) -> str:
        """
        Show the filters of the route.
        """
        return " ".join(f"<{type(self).__name__} {self.matcher} {self.also}".split()) + ">"

    def __enter__(self) -> Route:
        """
        Return the route, which handles requests already.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        Remove the route. An error of the block says more than one of the removal.
        """
        with suppress(*((CodexWorkspaceError,) if error is not None else ())):
            self.remove()

    @property
    def errors(self) -> list[Exception]:
        """
        What the function of the stub has raised, oldest first; at most 100.
        """
        return self._function.errors if self._function else []

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
    json: Any = ...,
    text: str | None = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    respond: Respond | None = None,
    match_query: Mapping[str, str | Sequence[str]] | None = None,
    match_headers: Mapping[str, str] | None = None,
    match_content: str | bytes | None = None,
    match_json: Any = ...,
    **match: Any,
) -> tuple[Matcher, dict[str, Any]]:
    """
    Return the matcher of a stub and the fields to send to the proxy.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """
    one = StubResponse(status, json, text, content, headers)
    made: dict[str, Any] = {"responses": [_response_fields(one)]}
    if respond is not None:
        if one != StubResponse():
            raise TypeError("a stub with respond= takes no response besides it")
        made = {"asks": True} if callable(respond) else {"responses": _response_list(respond)}
    more: dict[str, Any] = {}
    if match_query is not None:
        more["query"] = {
            _text("a name in match_query", name): _values(name, value)
            for name, value in _mapping("match_query", match_query).items()
        }
    if match_headers is not None:
        more["fields"] = {
            _text("a name in match_headers", name).lower(): _text(f"match_headers[{name!r}]", value)
            for name, value in _mapping("match_headers", match_headers).items()
        }
    if match_content is not None:
        if match_json is not ...:
            raise TypeError("a stub has match_content or match_json, not both")
        if not isinstance(match_content, (str, bytes)):
            raise TypeError(f"match_content must be text or bytes, not {match_content!r:.200}")
        data = match_content.encode() if isinstance(match_content, str) else match_content
        _check_length("match_content", len(data))
        more["content"] = base64.b64encode(data).decode("ascii")
    if match_json is not ...:
        _check_length("match_json", len(jsonlib.dumps(match_json, allow_nan=False)))
        more["json"] = {"is": match_json}
    matcher, fields = _matcher("stub", match, also=more)
    return matcher, {**fields, **more, **made, "kind": "stub"}


def _response_list(responses: object) -> list[dict[str, Any]]:
    if isinstance(responses, (str, bytes)) or not isinstance(responses, Sequence) or not responses:
        raise TypeError(
            f"respond must be a list of StubResponse or a function, not {responses!r:.200}"
        )
    if wrong := [one for one in responses if not isinstance(one, StubResponse)]:
        raise TypeError(f"respond must be a list of StubResponse; {wrong[0]!r:.200} is none")
    fields = [_response_fields(one) for one in responses]
    if (size := sum(len(one["body"]) for one in fields) * 3 // 4) > BODY_LIMIT:
        raise ValueError(
            f"the bodies of a stub have {size} bytes, more than the limit of {BODY_LIMIT}"
        )
    return fields


def _response_fields(response: StubResponse) -> dict[str, Any]:
    status, text, content = response.status, response.text, response.content
    bodies = {"json": response.json is not ..., "text": text is not None}
    given = [name for name, there in {**bodies, "content": content is not None}.items() if there]
    if len(given) > 1:
        raise TypeError(f"a stub has only one body; {' and '.join(given)} were given")
    if not _is_int(status) or not 200 <= status <= 599:
        raise ValueError(f"status={status!r} is not a status code from 200 to 599")
    if content is not None and not isinstance(content, bytes):
        raise TypeError(f"content must be bytes, not {content!r}; for a string, use text")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"text must be a string, not {text!r}")
    kind, body = "", content or b""
    if response.json is not ...:
        kind = "application/json"
        body = jsonlib.dumps(response.json, allow_nan=False).encode()
    elif text is not None:
        kind, body = "text/plain; charset=utf-8", text.encode()
    if len(body) > BODY_LIMIT:
        raise ValueError(
            f"the body of a stub has {len(body)} bytes, more than the limit of {BODY_LIMIT}"
        )
    pairs = [*_headers(response.headers or {})]
    if kind and "content-type" not in (name.lower() for name, _ in pairs):
        pairs.append(("content-type", kind))
    return {
        "status": status,
        "headers": pairs,
        "body": base64.b64encode(body).decode("ascii"),
    }


def _read_request(message: Mapping[str, Any]) -> StubRequest:
    match message:
        case {
            "method": str(method),
            "scheme": str(scheme),
            "host": str(host),
            "port": int(port),
            "path": str(path),
            "headers": [*pairs],
            "body": str(body),
        }:
            headers = tuple((str(name), str(value)) for name, value in pairs)
            try:
                content = base64.b64decode(body, validate=True)
            except binascii.Error:
                raise ValueError("a body that is not Base64") from None
            return StubRequest(method, scheme, host, port, path, headers, content)
    raise ValueError("a request that makes no sense")


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


def _matcher(
    what: str, match: dict[str, Any], also: Mapping[str, Any] | None = None
) -> tuple[Matcher, dict[str, Any]]:
    known = ("host", "path", "path__regex", "method")
    if unknown := sorted(set(match) - set(known)):
        raise TypeError(
            f"a {what} does not take {unknown[0]!r}; its filters are {', '.join(known)}"
        )
    given = {key: value for key, value in match.items() if value is not None}
    if not given and not also:
        raise TypeError(f"a {what} needs a filter: give a host, a path or a method")
    matcher = Matcher(**given)
    fields = {key.replace("__", "_"): value for key, value in given.items()}
    if "method" in fields:
        fields["method"] = fields["method"].upper()
    return matcher, fields


def _mapping(name: str, value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of names to values, not {value!r:.200}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r:.200}")
    return value


def _values(name: str, value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(one, str) for one in values):
        raise TypeError(f"match_query[{name!r}] must be a string or a list, not {value!r:.200}")
    return list(values)


def _check_length(name: str, size: int) -> None:
    if size > REQUEST_LIMIT:
        raise ValueError(f"{name} has {size} bytes, more than the limit of {REQUEST_LIMIT}")


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
