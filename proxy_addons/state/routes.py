"""
The stubs and faults of a workspace, as the host sent them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from mitmproxy import http

from pytest_codex_workspace.network.rules.hosts import host_matches

from .compression import decompress
from .limits import MAX_STUB_REQUEST_BYTES

__all__ = ["CannedResponse", "ProxyRoute", "is_long"]


@dataclass(frozen=True, slots=True)
class CannedResponse:
    """
    A response that the host sent.
    """

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> CannedResponse:
        """
        Return the response that the host describes in *message*.
        """
        headers = tuple((name.encode(), value.encode()) for name, value in message["headers"])
        return cls(int(message["status"]), headers, base64.b64decode(message["body"]))

    def to(self, method: str) -> http.Response:
        """
        Return the response to a request with *method*.
        """
        response = http.Response.make(self.status, b"", self.headers)
        if self.status in (204, 304):
            response.headers.pop("content-length", None)
            return response
        response.headers["content-length"] = str(len(self.body))
        if method.upper() != "HEAD":
            # Not `content`, which would compress the body again if there is a content-encoding.
            response.raw_content = self.body
        return response


@dataclass(slots=True)
class ProxyRoute:
    """
    One stub or fault of a workspace.

    Attributes:
        id: number that the events of matching requests carry.
        kind: `stub`, or the kind of fault: `latency`, `reset`, `status`, `truncate`.
        host, path, path_regex, method: what a request must have to match; `None` matches
            everything.
        query: parameters that it must have, each with all its values.
        fields: header fields that it must have, by their names in lower case.
        content: the body that it must have.
        json: the data that its body must be, in an object with the key `is`.
        asks: whether the host makes the response.
        responses: the responses in order; the last one is for all further requests.
        status: of the error.
        seconds: delay of the latency.
        after: bytes before the truncation; `None` for half of the body.
        times: how many more requests can match; `None` for no limit.
        used: how many have matched.
    """

    id: int
    kind: str
    host: str | None = None
    path: str | None = None
    path_regex: re.Pattern[str] | None = None
    method: str | None = None
    query: Mapping[str, list[str]] | None = None
    fields: Mapping[str, str] | None = None
    content: bytes | None = None
    json: Mapping[str, Any] | None = None
    asks: bool = False
    responses: tuple[CannedResponse, ...] = (CannedResponse(),)
    status: int = 200
    seconds: float = 0.0
    after: int | None = None
    times: int | None = None
    used: int = 0

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> ProxyRoute:
        """
        Return the route that the host describes in *message*.
        """
        fields = dict(message)
        if regex := fields.get("path_regex"):
            fields["path_regex"] = re.compile(regex)
        if "content" in fields:
            fields["content"] = base64.b64decode(fields["content"])
        if "responses" in fields:
            fields["responses"] = tuple(map(CannedResponse.from_message, fields["responses"]))
        return cls(**fields)

    @property
    def needs_body(self) -> bool:
        """
        Whether it can only be told with the body of a request how it is answered.
        """
        return self.asks or self.content is not None or self.json is not None

    def names(self, host: str) -> bool:
        """
        Check whether the route is for *host* in particular.
        """
        return self.host not in (None, "*") and host_matches(str(self.host), host)

    def matches(self, request: http.Request, host: str) -> bool:
        """
        Check whether the route applies to *request*, as far as its head tells.
        """
        path = request.path
        return (
            self.times != 0
            and (self.host is None or host_matches(self.host, host))
            and (self.method is None or self.method == request.method.upper())
            and (self.path is None or self.path in (path, path.partition("?")[0]))
            and (self.path_regex is None or self.path_regex.search(path) is not None)
            and self._matches_query(path)
            and self._matches_fields(request)
            and ((self.content is None and self.json is None) or not is_long(request))
        )

    def matches_body(self, request: http.Request) -> bool:
        """
        Check whether the body of a request, which is whole, matches.
        """
        if self.content is None and self.json is None:
            return True
        # Decompressed, as the server would see it, and no more than it takes to compare.
        encoding = request.headers.get("content-encoding", "")
        limit = MAX_STUB_REQUEST_BYTES
        body = decompress(request.raw_content or b"", encoding, limit + 1)
        if len(body) > limit:
            return False
        try:
            return (self.content is None or self.content == body) and (
                self.json is None or json.loads(body) == self.json["is"]
            )
        except (ValueError, RecursionError):
            return False

    def use(self) -> None:
        """
        Count one matching request.
        """
        self.used += 1
        if self.times is not None:
            self.times -= 1

    def response(self, method: str) -> http.Response:
        """
        Return the response to a request with *method* that was counted.
        """
        return self.responses[min(self.used, len(self.responses)) - 1].to(method)

    def _matches_query(self, path: str) -> bool:
        if self.query is None:
            return True
        found = parse_qs(path.partition("?")[2], keep_blank_values=True, errors="replace")
        return all(found.get(name) == values for name, values in self.query.items())

    def _matches_fields(self, request: http.Request) -> bool:
        return all(
            request.headers.get(name) == value for name, value in (self.fields or {}).items()
        )


def is_long(request: http.Request) -> bool:
    """
    Check whether the body of a request is announced as longer than a stub may look at.
    """
    length = request.headers.get("content-length", "")
    return length.isdecimal() and int(length) > MAX_STUB_REQUEST_BYTES
