"""
One line of the network log.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Request"]


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """
    One request, allowed or not.

    A refused tunnel has the method `CONNECT`; a name that was looked up
    around the proxy has the method `DNS` and the scheme `dns`.

    Attributes:
        id: counts up through the life of the proxy.
        time: when it began, in seconds since the epoch.
        phase: `setup`, `resume` or `test`.
        method: the HTTP method.
        scheme: `https`, `http` or `dns`.
        host: normalised: lower case, ASCII, no brackets.
        port: the port the request was for.
        path: with the query; values of parameters that look like secrets
            are replaced.
        url: the same, with scheme, host and port.
        status: what the client got; `None` if it got nothing.
        size: bytes of the response's body; `None` if there was none.
        duration: seconds from the first byte of the request to the last of
            the response; `None` if there was no exchange.
        verdict: `allowed`, `blocked`, `stubbed`, `replayed` or `failed`.
        reason: why it was blocked or failed, `None` if it was not.
        explanation: what was wrong and what to do.
        routes: ids of the stub and the fault that had a part in the answer.
        request_body: what was sent, if bodies are kept; as much as is kept,
            unpacked, secrets included.
        response_body: what came back, likewise.
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
    request_body: bytes | None = None
    response_body: bytes | None = None

    def __repr__(self) -> str:
        """
        The line, for assertions that show their values.
        """
        return f"<{self}>"

    def __str__(self) -> str:
        """
        One line: `[test] GET https://example.org/ 200 1256 bytes 0.12 s, allowed`.
        """
        parts = [f"[{self.phase}]", self.method, self.url]
        if self.status is not None:
            parts.append(str(self.status))
        if self.size is not None:
            parts.append(f"{self.size} bytes")
        if self.duration is not None:
            parts.append(f"{self.duration:.2f} s")
        reason = f" ({self.reason})" if self.reason else ""
        return f"{' '.join(parts)}, {self.verdict}{reason}"
