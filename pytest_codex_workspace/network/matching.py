"""
Which requests a set of keywords selects, and why the others are not selected.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from .hosts import host_matches
from .policy import REASONS, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .log import Request

__all__ = ["PHASES", "Matcher", "Phase", "describe", "nearest"]

Phase = Literal["setup", "resume", "test"]
"""What a workspace was doing when it made a request."""

PHASES: tuple[str, ...] = ("setup", "resume", "test")
"""Every phase there is, in order."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "verdict": VERDICTS,
    "reason": REASONS,
    "phase": PHASES,
    "scheme": ("https", "http", "dns"),
}


class Matcher:
    """
    A set of keywords that a request either fits or not.

    Args:
        keywords: what a request must be; `None` leaves it open. `host` may be
            `*.example.org`; `path` without a `?` leaves the query open; those
            ending in `__regex` are searched for.

    Raises:
        TypeError: an unknown keyword, or a value of the wrong type.
        ValueError: a word that no request can have, or a broken expression.
    """

    def __init__(self, **keywords: Any) -> None:
        if unknown := sorted(set(keywords) - set(_TESTS)):
            raise TypeError(
                f"unknown keyword {', '.join(unknown)}; a request can be matched by "
                f"{', '.join(_TESTS)}"
            )
        self._keywords = {key: value for key, value in keywords.items() if value is not None}
        for key, value in self._keywords.items():
            _check(key, value)

    def __str__(self) -> str:
        """
        The keywords as they were written.
        """
        return " ".join(f"{key}={value!r}" for key, value in self._keywords.items()) or "anything"

    def matches(self, request: Request) -> bool:
        """
        Whether *request* fits every keyword.
        """
        return all(_TESTS[key](value, request) for key, value in self._keywords.items())

    def differences(self, request: Request) -> list[str]:
        """
        For each keyword that *request* does not fit, a line that says why.
        """
        return [
            f"{key}: expected {value!r}, was {getattr(request, key.removesuffix('__regex'))!r}"
            for key, value in self._keywords.items()
            if not _TESTS[key](value, request)
        ]


def nearest(matcher: Matcher, requests: Iterable[Request], count: int = 3) -> list[Request]:
    """
    The *count* requests that fit most of *matcher*, newest first among equals.
    """
    newest = sorted(requests, key=lambda request: -request.id)
    return sorted(newest, key=lambda request: len(matcher.differences(request)))[:count]


def _check(key: str, value: object) -> None:
    if key in ("status", "port"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{key} is a number, not {value!r}")
        return
    if not isinstance(value, str):
        raise TypeError(f"{key} is a string, not {value!r}")
    if key in _WORDS and value not in _WORDS[key]:
        raise ValueError(f"{key}={value!r} matches nothing; it is one of {', '.join(_WORDS[key])}")
    if key.endswith("__regex"):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{key}={value!r} is no regular expression: {error}") from None


def _equal(field: str) -> Callable[[Any, Request], bool]:
    return lambda wanted, request: bool(getattr(request, field) == wanted)


def _search(field: str) -> Callable[[Any, Request], bool]:
    return lambda wanted, request: re.search(wanted, getattr(request, field)) is not None


def _path(wanted: str, request: Request) -> bool:
    return wanted in (request.path, request.path.partition("?")[0])


_TESTS: Mapping[str, Callable[[Any, Request], bool]] = {
    "host": lambda wanted, request: wanted == request.host or host_matches(wanted, request.host),
    "host__regex": _search("host"),
    "method": lambda wanted, request: wanted.upper() == request.method,
    "path": _path,
    "path__regex": _search("path"),
    "status": _equal("status"),
    "scheme": _equal("scheme"),
    "verdict": _equal("verdict"),
    "reason": _equal("reason"),
    "phase": _equal("phase"),
    "url": _equal("url"),
    "port": _equal("port"),
}


def describe(matcher: Matcher, requests: Sequence[Request]) -> str:
    """
    The requests nearest to *matcher* and what differs, as indented lines.
    """
    lines = []
    for request in nearest(matcher, requests):
        lines.append(f"  {request}")
        lines += [f"      {difference}" for difference in matcher.differences(request)]
    return "\n".join(lines)
