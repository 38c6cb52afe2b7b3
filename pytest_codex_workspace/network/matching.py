"""
Filter requests by keywords, and explain why a request does not match.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..text.phrases import did_you_mean
from .rules.hosts import host_matches
from .rules.policy import REASONS, VERDICTS, Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .rules.request import Request

__all__ = [
    "PHASES",
    "BlockedFilters",
    "FaultFilters",
    "Filters",
    "Matcher",
    "Phase",
    "StubFilters",
    "describe_differences",
    "nearest",
]

Phase = Literal["setup", "resume", "test"]
"""Stage of a workspace in which a request was made."""

PHASES: tuple[str, ...] = ("setup", "resume", "test")
"""All phases, in order."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "verdict": VERDICTS,
    "reason": REASONS,
    "phase": PHASES,
    "scheme": ("https", "http", "dns"),
}


Scheme = Literal["https", "http", "dns"]
"""How a request was made."""


class BlockedFilters(TypedDict, total=False):
    """
    The filters of a request whose verdict is known, for type checkers.
    """

    host: str | None
    host__in: Collection[str] | None
    host__regex: str | None
    method: str | None
    method__in: Collection[str] | None
    method__regex: str | None
    path: str | None
    path__in: Collection[str] | None
    path__regex: str | None
    url: str | None
    url__in: Collection[str] | None
    url__regex: str | None
    status: int | None
    status__in: Collection[int] | None
    port: int | None
    port__in: Collection[int] | None
    scheme: Scheme | None
    scheme__in: Collection[Scheme] | None
    scheme__regex: str | None
    verdict__in: Collection[Verdict] | None
    verdict__regex: str | None
    reason__in: Collection[Reason] | None
    reason__regex: str | None
    phase: Phase | None
    phase__in: Collection[Phase] | None
    phase__regex: str | None


class Filters(BlockedFilters, total=False):
    """
    The keywords of `Matcher`, for type checkers.
    """

    verdict: Verdict | None
    reason: Reason | None


class FaultFilters(TypedDict, total=False):
    """
    What a request must have that a fault is for, and how many, for type checkers.
    """

    host: str | None
    path: str | None
    path__regex: str | None
    method: str | None
    times: int | None


class StubFilters(TypedDict, total=False):
    """
    What a request must have that a stub is for, for type checkers.
    """

    host: str | None
    path: str | None
    path__regex: str | None
    method: str | None
    match_query: Mapping[str, str | Sequence[str]] | None
    match_headers: Mapping[str, str] | None
    match_content: str | bytes | None
    match_json: Any


class Matcher:
    """
    A set of filters that a request either matches or not.

    Args:
        keywords: filters by name; a value of `None` matches everything. `host`
            may be `*.example.org`; `path` without a `?` matches any query. A name
            that ends in `__in` takes a list of values, one that ends in
            `__regex` a regular expression that is searched for.

    Raises:
        TypeError: a filter is unknown, or its value has the wrong type.
        ValueError: no request can have the value, or the regular expression
            is invalid.
    """

    def __init__(self, **keywords: Any) -> None:
        if unknown := sorted(set(keywords) - set(_TESTS)):
            hint = did_you_mean(unknown[0], _TESTS)
            raise TypeError(
                f"Unknown filter {', '.join(map(repr, unknown))}{hint}. "
                f"Filters: {', '.join(_SIMPLE)}; add `__in` or `__regex`."
            )
        self._keywords = {key: value for key, value in keywords.items() if value is not None}
        for key, value in self._keywords.items():
            _check(key, value)

    def __str__(self) -> str:
        """
        Return the filters as they were written.
        """
        return " ".join(f"{key}={value!r}" for key, value in self._keywords.items()) or "anything"

    def matches(self, request: Request) -> bool:
        """
        Check whether *request* matches all filters.
        """
        return all(_TESTS[key](value, request) for key, value in self._keywords.items())

    def differences(self, request: Request) -> list[str]:
        """
        Return a line for each filter that *request* does not match.
        """
        return [
            f"{key}: expected {value!r}, was {getattr(request, key.partition('__')[0])!r}"
            for key, value in self._keywords.items()
            if not _TESTS[key](value, request)
        ]


def nearest(matcher: Matcher, requests: Iterable[Request], count: int = 3) -> list[Request]:
    """
    Return the *count* requests that match most filters, newest first among equals.
    """
    newest = sorted(requests, key=lambda request: -request.id)
    return sorted(newest, key=lambda request: len(matcher.differences(request)))[:count]


def _check(key: str, value: object) -> None:
    if key.endswith("__in"):
        if isinstance(value, str) or not isinstance(value, Collection):
            raise TypeError(f"{key} must be a list of values, not {value!r}")
        for one in value:
            _check(key.removesuffix("__in"), one)
        return
    if key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{key} must be a number, not {value!r}")
        return
    if not isinstance(value, str):
        raise TypeError(f"{key} must be a string, not {value!r}")
    if key in _WORDS and value not in _WORDS[key]:
        raise ValueError(f"{key}={value!r} matches nothing; use one of {', '.join(_WORDS[key])}")
    if key.endswith("__regex"):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(
                f"{key}={value!r} is not a valid regular expression: {error}"
            ) from None


def _equal(field: str) -> Callable[[Any, Request], bool]:
    return lambda wanted, request: bool(getattr(request, field) == wanted)


def _search(field: str) -> Callable[[Any, Request], bool]:
    return lambda wanted, request: re.search(wanted, getattr(request, field) or "") is not None


def _any(test: Callable[[Any, Request], bool]) -> Callable[[Any, Request], bool]:
    return lambda wanted, request: any(test(one, request) for one in wanted)


def _path(wanted: str, request: Request) -> bool:
    return wanted in (request.path, request.path.partition("?")[0])


_SIMPLE: Mapping[str, Callable[[Any, Request], bool]] = {
    "host": lambda wanted, request: wanted == request.host or host_matches(wanted, request.host),
    "method": lambda wanted, request: wanted.upper() == request.method,
    "path": _path,
    "url": _equal("url"),
    "status": _equal("status"),
    "port": _equal("port"),
    "scheme": _equal("scheme"),
    "verdict": _equal("verdict"),
    "reason": _equal("reason"),
    "phase": _equal("phase"),
}
_NUMBERS = ("status", "port")
_TESTS: Mapping[str, Callable[[Any, Request], bool]] = {
    **_SIMPLE,
    **{f"{field}__in": _any(test) for field, test in _SIMPLE.items()},
    **{f"{field}__regex": _search(field) for field in _SIMPLE if field not in _NUMBERS},
}


def describe_differences(matcher: Matcher, requests: Sequence[Request]) -> str:
    """
    Describe the requests nearest to *matcher* and how they differ, as indented lines.
    """
    lines = []
    for request in nearest(matcher, requests):
        lines.append(f"  {request}")
        lines += [f"      {difference}" for difference in matcher.differences(request)]
    return "\n".join(lines)
