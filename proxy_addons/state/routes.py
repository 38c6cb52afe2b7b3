"""
The stubs and faults of a workspace, as the host sent them.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from mitmproxy import http

from pytest_codex_workspace.network.rules.hosts import host_matches

__all__ = ["ProxyRoute"]


@dataclass(slots=True)
class ProxyRoute:
    """
    One stub or fault of a workspace.

    Attributes:
        id: number that the events of matching requests carry.
        kind: `stub`, or the kind of fault: `latency`, `reset`, `status`, `truncate`.
        host, path, path_regex, method: what a request must have to match; `None` matches
            everything.
        status, headers, body: of the response.
        seconds: delay of the latency.
        after: bytes before the truncation; `None` for half of the body.
        times: how many more requests can match; `None` for no limit.
    """

    id: int
    kind: str
    host: str | None = None
    path: str | None = None
    path_regex: re.Pattern[str] | None = None
    method: str | None = None
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    seconds: float = 0.0
    after: int | None = None
    times: int | None = None

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> ProxyRoute:
        """
        Return the route that the host describes in *message*.
        """
        fields = dict(message)
        if regex := fields.get("path_regex"):
            fields["path_regex"] = re.compile(regex)
        fields["body"] = base64.b64decode(fields.get("body", ""))
        fields["headers"] = tuple(
            (name.encode(), value.encode()) for name, value in fields.get("headers", ())
        )
        return cls(**fields)

    def names(self, host: str) -> bool:
        """
        Check whether the route is for *host* in particular.
        """
        return self.host not in (None, "*") and host_matches(str(self.host), host)

    def matches(self, request: http.Request, host: str) -> bool:
        """
        Check whether the route applies to *request*.
        """
        path = request.path
        return (
            self.times != 0
            and (self.host is None or host_matches(self.host, host))
            and (self.method is None or self.method == request.method.upper())
            and (self.path is None or self.path in (path, path.partition("?")[0]))
            and (self.path_regex is None or self.path_regex.search(path) is not None)
        )

    def use(self) -> None:
        """
        Count one matching request.
        """
        if self.times is not None:
            self.times -= 1

    def response(self, method: str) -> http.Response:
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
