"""
The cassette file: its format, how exchanges are matched, and the nearest match.

This module is copied into the proxy image, so it imports the standard library
only.

A cassette is a text file with one JSON object per line: a header with the
format version, the exchanges in a stable order, then each distinct body once.
A body is read only when it is replayed.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = [
    "BODY_LIMIT",
    "Cassette",
    "Exchange",
    "InvalidCassette",
    "digest",
    "kept_headers",
    "lines_of",
    "matched_headers",
    "merge",
]

BODY_LIMIT = 256 << 20
"""Maximum size of a recorded body, in bytes."""

_FORMAT = 1
_HEAD = {"cassette": _FORMAT, "made by": "pytest-codex-workspace"}
_SHORT = 8192
_BODY_LINE = re.compile(rb'\{"sha256": "([0-9a-f]{64})", ')
_PLAIN = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*")

# Headers that describe one transfer, one moment or one user rather than the resource.
_DROPPED = re.compile(
    r"age|alt-svc|authorization|cf-.*|connection|content-length|date|expires|keep-alive|nel"
    r"|proxy-.*|report-to|server-timing|set-cookie.*|strict-transport-security|te|trailer"
    r"|transfer-encoding|upgrade|via|warning|www-authenticate|x-amz-.*|x-cache.*|x-fastly-.*"
    r"|x-request-id|x-served-by|x-timer|x-trace.*",
    re.IGNORECASE,
)
_NOT_MATCHED = {
    "*",
    "accept-encoding",  # the recorder always requests one fixed encoding
    "authorization",
    "cookie",
    "origin",
    "proxy-authorization",
    "user-agent",
}

Headers = Iterable[tuple[str, str]]


class InvalidCassette(ValueError):
    """
    The file is not a valid cassette. The message names the line.
    """


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    A request and its response.

    Attributes:
        method: HTTP method of the request.
        url: URL of the request, with secrets replaced.
        match: request headers that must be equal, besides method, URL and body.
        body: digest of the request body; empty if there was none.
        phase: `setup`, `resume` or `test`.
        status: status code of the response.
        headers: recorded headers of the response.
        content: digest of the response body; empty if there was none.
        recorded: date of the recording, such as `2026-11-24`.
    """

    method: str
    url: str
    status: int
    match: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    phase: str = "test"
    headers: tuple[tuple[str, str], ...] = ()
    content: str = ""
    recorded: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """
        Method, URL and body digest of the request.
        """
        return self.method, self.url, self.body

    @property
    def identity(self) -> tuple[object, ...]:
        """
        Everything that distinguishes the request from others, headers included.
        """
        return self.url, self.method, self.body, tuple(sorted(self.match.items()))

    def to_json(self) -> dict[str, Any]:
        """
        Return plain data in a readable order, without empty fields.
        """
        fields = {
            "method": self.method,
            "url": self.url,
            "match": dict(sorted(self.match.items())),
            "body": self.body,
            "phase": self.phase,
            "status": self.status,
            "headers": [list(pair) for pair in self.headers],
            "content": self.content,
            "recorded": self.recorded,
        }
        return {key: value for key, value in fields.items() if value}

    @classmethod
    def from_json(cls, data: Any) -> Exchange:
        """
        Return the exchange that `to_json` turned into *data*.

        Raises:
            ValueError: *data* is not a valid exchange.
        """
        if not isinstance(data, dict):
            raise ValueError("this is not an exchange (a JSON object)")
        texts = {key: data.get(key, "") for key in ("method", "url", "body", "content", "recorded")}
        phase, status = data.get("phase", "test"), data.get("status")
        match, headers = data.get("match", {}), data.get("headers", [])
        if not (
            texts["method"]
            and texts["url"]
            and all(isinstance(value, str) for value in (*texts.values(), phase))
            and all(value.isascii() and value.isprintable() for value in texts.values())
            and isinstance(status, int)
            and isinstance(match, dict)
            and all(isinstance(value, str) for value in match.values())
            and isinstance(headers, list)
            and all(
                isinstance(pair, list) and [type(one) for one in pair] == [str, str]
                for pair in headers
            )
        ):
            raise ValueError("a field of this exchange is missing or has an invalid value")
        pairs = tuple((name, value) for name, value in headers)
        return cls(**texts, status=status, phase=phase, match=match, headers=pairs)


class Cassette:
    """
    A cassette file, opened for replay.

    Args:
        path: path of the file.

    Raises:
        InvalidCassette: the file is not a valid cassette.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exchanges: list[Exchange] = []
        self._bodies: dict[str, tuple[int, int]] = {}
        self._by_key: dict[tuple[str, str, str], list[Exchange]] = {}
        with path.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, 1):
                self._read(number, line, offset)
                offset += len(line)
        if not offset:
            raise InvalidCassette("line 1: the file is empty")
        for exchange in self.exchanges:
            self._by_key.setdefault(exchange.key, []).append(exchange)
            for body in filter(None, [exchange.content]):
                if body not in self._bodies:
                    raise InvalidCassette(
                        f"the body {body[:12]} of {exchange.method} {exchange.url} is missing"
                    )

    def _read(self, number: int, line: bytes, offset: int) -> None:
        if body := _BODY_LINE.match(line):
            self._bodies[body[1].decode()] = offset, len(line)
            return
        try:
            data = json.loads(line)
            if number > 1:
                self.exchanges.append(Exchange.from_json(data))
        except (ValueError, RecursionError) as error:
            raise InvalidCassette(f"line {number}: {error}") from None
        if number == 1 and (not isinstance(data, dict) or data.get("cassette") != _FORMAT):
            raise InvalidCassette(f"line 1: this is not a cassette of format {_FORMAT}")

    def find(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> list[Exchange]:
        """
        Return the recorded exchanges that match a request, in recording order.

        If exchanges with different `match` headers fit, only those with the most
        headers are returned.
        """
        fitting = [
            exchange
            for exchange in self._by_key.get((method, url, body), ())
            if all(headers.get(name) == value for name, value in exchange.match.items())
        ]
        most = max((len(exchange.match) for exchange in fitting), default=0)
        return [exchange for exchange in fitting if len(exchange.match) == most]

    def content(self, exchange: Exchange) -> bytes:
        """
        Return the response body of an exchange.

        Raises:
            InvalidCassette: the body in the file does not have its digest.
        """
        return self.body(exchange.content) if exchange.content else b""

    def body(self, sha256: str) -> bytes:
        """
        Return the body with the digest *sha256*.

        Raises:
            InvalidCassette: the body in the file does not have its digest.
        """
        offset, length = self._bodies[sha256]
        with self.path.open("rb") as file:
            file.seek(offset)
            line = file.read(length)
        try:
            data = json.loads(line)
            body = data["text"].encode() if "text" in data else _unpack(data["zlib"])
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
            body = b""
        if digest(body) != sha256:
            raise InvalidCassette(f"the body {sha256[:12]} was changed after it was recorded")
        return body

    def nearest(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> str:
        """
        Describe the most similar recorded request and how it differs.

        Returns an empty string if no recorded request is similar.
        """
        urls = {exchange.url for exchange in self.exchanges}
        close = [url] if url in urls else difflib.get_close_matches(url, sorted(urls), 1, 0.5)
        if not close:
            return ""
        found = [one for one in self.exchanges if one.url == close[0]]
        one = min(found, key=lambda each: (each.method != method, each.body != body))
        differences = []
        if one.url != url:
            differences.append("a different URL")
        if one.method != method:
            differences.append(f"the method {one.method}")
        if one.body != body:
            differences.append("a different body")
        differences += [
            f"{name}: {value!r}" for name, value in one.match.items() if headers.get(name) != value
        ]
        return f"{one.method} {one.url}, which has {', '.join(differences) or 'no difference'}"


def digest(body: bytes) -> str:
    """
    Return the digest under which a body is stored.
    """
    return hashlib.sha256(body).hexdigest()


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """
    Return the response headers that are worth recording.

    Headers about one transfer, one moment or one user are dropped.
    """
    return tuple((name.lower(), value) for name, value in headers if not _DROPPED.fullmatch(name))


def matched_headers(answer: Mapping[str, str], request: Mapping[str, str]) -> dict[str, str]:
    """
    Return the headers of *request* that its answer depends on.

    These are the headers that the answer's `Vary` lists, and `Range`.
    """
    names = {name.strip().lower() for name in answer.get("vary", "").split(",")}
    wanted = (names | {"range"}) - _NOT_MATCHED
    return {name: request[name] for name in sorted(wanted) if request.get(name)}


def merge(old: Iterable[Exchange], new: Iterable[Exchange]) -> list[Exchange]:
    """
    Merge *new* into *old*, in the order of the file.

    A new exchange replaces the old exchanges with the same request.
    """
    fresh: dict[tuple[object, ...], list[Exchange]] = {}
    for exchange in new:
        same = fresh.setdefault(exchange.identity, [])
        if not any(replace(one, phase=exchange.phase) == exchange for one in same):
            same.append(exchange)
    merged: list[Exchange] = []
    dates: dict[object, str] = {}
    for exchange in old:
        if exchange.identity not in fresh:
            merged.append(exchange)
        dates[(exchange.identity, exchange.status, exchange.content)] = exchange.recorded
    for same in fresh.values():
        for exchange in same:
            # An unchanged exchange keeps its date, so that its line does not change.
            known = dates.get((exchange.identity, exchange.status, exchange.content))
            merged.append(replace(exchange, recorded=known or exchange.recorded))
    return sorted(merged, key=lambda one: tuple(map(str, one.identity)))


def lines_of(exchanges: Iterable[Exchange], body: Callable[[str], bytes]) -> Iterator[bytes]:
    """
    Yield the lines of a cassette file.

    Args:
        exchanges: the exchanges, in the order of the file.
        body: returns the body with a given digest.
    """
    yield _line(_HEAD)
    bodies: set[str] = set()
    for exchange in exchanges:
        yield _line(exchange.to_json())
        bodies.add(exchange.content)
    for sha256 in sorted(bodies - {""}):
        yield _line({"sha256": sha256, **_pack(body(sha256))})


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8") + b"\n"


def _pack(body: bytes) -> dict[str, str]:
    if len(body) <= _SHORT:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if _PLAIN.fullmatch(text):
            return {"text": text}
    return {"zlib": base64.b64encode(zlib.compress(body, 9)).decode("ascii")}


def _unpack(text: str) -> bytes:
    packed = zlib.decompressobj()
    body = packed.decompress(base64.b64decode(text), BODY_LIMIT + 1)
    return body if len(body) <= BODY_LIMIT else b""
