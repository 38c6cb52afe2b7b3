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
import bisect
import datetime
import difflib
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from .header_fields import check_header, is_header_value, is_token

__all__ = [
    "BODY_LIMIT",
    "Cassette",
    "Exchange",
    "InvalidCassette",
    "digest",
    "is_valid",
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
_PHASES = ("setup", "resume", "test")
_LONGEST_LINE = 1 << 20
_COMPARED_URLS = 20
_COMPARED_CHARACTERS = 200
_MOST_EXCHANGES_BYTES = 32 << 20
_BODY_START = re.compile(rb'\{"sha256": "([0-9a-f]{64})", "(text|zlib)": "')
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_BASE64_END = re.compile(rb'[A-Za-z0-9+/]*={0,2}"\}\r?\n?')
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
        for name in data:
            if name not in _CHECKS:
                raise ValueError(f"{_short(name)} is not a field of an exchange")
        fields = {}
        for name, (check, expected, default) in _CHECKS.items():
            value = data.get(name, default)
            if not check(value):
                what = "is missing" if name not in data else f"is {_short(value)}"
                raise ValueError(f"the {name} of this exchange {what}; it must be {expected}")
            fields[name] = value
        for pair in fields["headers"]:
            check_header(*pair)
        fields["headers"] = tuple((name, value) for name, value in fields["headers"])
        return cls(**fields)


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_date(value: object) -> bool:
    try:
        return value == "" or datetime.date.fromisoformat(str(value)).isoformat() == value
    except ValueError:
        return False


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 999


def _is_match(value: object) -> bool:
    return isinstance(value, dict) and all(
        is_token(name) and name == name.lower() and isinstance(each, str) and is_header_value(each)
        for name, each in value.items()
    )


def _is_header_list(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 for pair in value
    )


_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]{1,32}", re.ASCII)
_URL = re.compile(r"https?://[!-.0-~]+(?:/[!-~]*)?", re.ASCII)
_DIGEST = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)

# For each field: a check, what it must be, and the value that stands for a missing field.
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str, Any]] = {
    "method": (lambda value: _is_text(value, _METHOD), "an HTTP method in upper case", None),
    "url": (
        lambda value: _is_text(value, _URL),
        "a URL of http or https in printable ASCII",
        None,
    ),
    "match": (
        _is_match,
        "an object of header names in lower case and values of one line",
        {},
    ),
    "body": (lambda value: _is_text(value, _DIGEST), "the SHA-256 of a body", ""),
    "phase": (lambda value: value in _PHASES, f"one of {', '.join(_PHASES)}", "test"),
    "status": (_is_status, "a status code from 200 to 999", None),
    "headers": (_is_header_list, "a list of pairs of a name and a value", []),
    "content": (lambda value: _is_text(value, _DIGEST), "the SHA-256 of a body", ""),
    "recorded": (_is_date, "a date such as 2026-11-24", ""),
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


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
        self._exchange_bytes = 0
        with path.open("rb") as file:
            number = offset = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                try:
                    rest = self._read(number, line, offset, file)
                except (ValueError, RecursionError) as error:
                    raise InvalidCassette(f"line {number}: {_reason(error)}") from None
                offset += len(line) + rest
        if not offset:
            raise InvalidCassette("line 1: the file is empty")
        self._urls = {exchange.url for exchange in self.exchanges}
        self._sorted_urls = sorted(self._urls)
        for exchange in self.exchanges:
            self._by_key.setdefault(exchange.key, []).append(exchange)
            for body in filter(None, [exchange.content]):
                if body not in self._bodies:
                    raise InvalidCassette(
                        f"the body {body[:12]} of {exchange.method} {exchange.url} is missing"
                    )

    def _read(self, number: int, line: bytes, offset: int, file: BinaryIO) -> int:
        """
        Read one line, of which *line* is the beginning; return how many more bytes it had.
        """
        if number > 1 and (body := _BODY_START.match(line)):
            sha256 = body[1].decode()
            if sha256 in self._bodies:
                raise ValueError(f"the body {sha256[:12]} is in the file twice")
            rest = _check_body(line, body, file)
            self._bodies[sha256] = offset, len(line) + rest
            return rest
        self._exchange_bytes += len(line)
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            raise ValueError(f"it is longer than the limit of {_LONGEST_LINE} bytes")
        if self._exchange_bytes > _MOST_EXCHANGES_BYTES:
            raise ValueError(
                f"the exchanges up to here are larger than the limit of {_MOST_EXCHANGES_BYTES} "
                "bytes"
            )
        data = json.loads(line)
        if number > 1:
            self.exchanges.append(Exchange.from_json(data))
        elif not isinstance(data, dict) or data.get("cassette") != _FORMAT:
            raise ValueError(f"this is not a cassette of format {_FORMAT}")
        return 0

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
        closest = url if url in self._urls else self._similar(url)
        if closest is None:
            return ""
        found = [one for one in self.exchanges if one.url == closest]
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

    def _similar(self, url: str) -> str | None:
        """
        Return a similar URL, `None` if there is none.

        A workspace may ask as often as it likes, so only a few short URLs that begin alike are
        compared in detail.
        """
        short = url[:_COMPARED_CHARACTERS]
        at = bisect.bisect(self._sorted_urls, url)
        around = self._sorted_urls[max(0, at - _COMPARED_URLS) : at + _COMPARED_URLS]
        by_start = {one[:_COMPARED_CHARACTERS]: one for one in around}
        close = difflib.get_close_matches(short, by_start, 1, 0.5)
        return by_start[close[0]] if close else None


def digest(body: bytes) -> str:
    """
    Return the digest under which a body is stored.
    """
    return hashlib.sha256(body).hexdigest()


def is_valid(exchange: Exchange) -> bool:
    """
    Check whether an exchange can be read again once it is written.
    """
    try:
        line = _line(exchange.to_json())
        return len(line) < _LONGEST_LINE // 2 and Exchange.from_json(json.loads(line)) == exchange
    except ValueError:
        return False


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """
    Return the response headers that are worth recording.

    Headers about one transfer, one moment or one user are dropped, and so are
    headers that are not one line of text.
    """
    return tuple(
        (name.lower(), value)
        for name, value in headers
        if not _DROPPED.fullmatch(name) and is_token(name) and is_header_value(value)
    )


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


def _check_body(line: bytes, start: re.Match[bytes], file: BinaryIO) -> int:
    """
    Check the form of a line with a body, without keeping it; return how many bytes follow *line*.

    The content is compared with its digest when it is played.

    Raises:
        ValueError: the line is no body.
    """
    if start[2] == b"text":
        data = json.loads(line)
        if set(data) != {"sha256", "text"} or not isinstance(data["text"], str):
            raise ValueError("this is neither an exchange nor a body")
        return 0
    rest, piece = 0, line[start.end() :]
    while not _BASE64_END.fullmatch(piece):
        more = file.readline(_LONGEST_LINE) if _BASE64.fullmatch(piece) else b""
        rest += len(more)
        # The end may be split between two pieces.
        piece = piece[-8:] + more
        if not more or rest > 2 * BODY_LIMIT:
            raise ValueError("a body that is cut off, too large, or not in base64")
    return rest


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "this is not text in UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"this is not JSON: {error.msg} (column {error.colno})"
    return str(error)


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
