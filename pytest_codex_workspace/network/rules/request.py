"""
A request in the network log.
"""

from __future__ import annotations

from dataclasses import dataclass

from .text import plain

__all__ = ["Request"]


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """
    One request, whether it was allowed or not.

    A refused tunnel has the method `CONNECT`. A name that was looked up without
    the proxy has the method `DNS` and the scheme `dns`.

    Attributes:
        id: a number that increases during the life of the proxy.
        time: start of the request, in seconds since the epoch.
        phase: `setup`, `resume` or `test`.
        method: the HTTP method.
        scheme: `https`, `http` or `dns`.
        host: normalised host: lower case, ASCII, no brackets.
        port: destination port.
        path: path and query; values of parameters that look like secrets
            are replaced.
        url: scheme, host, port and `path`.
        status: status code that the client received; `None` if none was sent.
        size: size of the response body, in bytes; `None` if there was none.
        duration: seconds from the first byte of the request to the last byte of
            the response; `None` if there was no exchange.
        verdict: `allowed`, `blocked`, `stubbed`, `replayed` or `failed`.
        reason: why the request was blocked or failed; `None` otherwise.
        explanation: what was wrong and what to do.
        routes: ids of the stub and the fault that took part in the answer.
        process: the process that made a blocked request, or a connection that failed, after its
            ancestors: `sh -c 'npm install' › npm install › node get.js`. The workspace says so of
            itself. Empty if not known.
        request_body: beginning of the request body, decompressed and with any
            secrets; `None` unless bodies are kept.
        response_body: beginning of the response body, likewise.
    """

    id: int
    time: float
    phase: str
    method: str
    scheme: str
    host: str
    port: int
    path: str
    url: str
    status: int | None
    size: int | None
    duration: float | None
    verdict: str
    reason: str | None = None
    explanation: str = ""
    routes: tuple[int, ...] = ()
    process: str = ""
    request_body: bytes | None = None
    response_body: bytes | None = None

    def __repr__(self) -> str:
        """
        Return the line in angle brackets, for readable assertions.
        """
        return f"<{self}>"

    def __str__(self) -> str:
        """
        Return one line: `[test] GET https://example.org/ 200 1256 bytes 0.12 s, allowed`.
        """
        parts = [f"[{self.phase}]", self.method, self.url]
        if self.status is not None:
            parts.append(str(self.status))
        if self.size is not None:
            parts.append(f"{self.size} byte{'' if self.size == 1 else 's'}")
        if self.duration is not None:
            parts.append(f"{self.duration:.2f} s")
        reason = f" ({self.reason})" if self.reason else ""
        # An image from elsewhere has requests in its record, and names them as it likes.
        return plain(f"{' '.join(parts)}, {self.verdict}{reason}")
