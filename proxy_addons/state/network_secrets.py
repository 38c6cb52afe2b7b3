"""
Values that the proxy puts in place of placeholders, for the hosts that the user has named.

A workspace has the placeholder only. The value is in what the proxy sends to such a host, and
nowhere else: not in the log, not in a cassette, and not in what the workspace receives, even if
the host sends it back, as it is, in this response or in a later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.rules.hosts import any_matches

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.rules.policy import RequestFacts

__all__ = ["MaskedStream", "PlaceholderRule", "hides", "rules_for", "use_rules", "with_values"]

_DROPPED = ("range", "if-range", "te", "a-im", "sec-websocket-extensions")
"""Fields with which a client could ask for a value piece by piece, or compressed."""

_PLAIN = {"", "identity", "chunked"}
"""Codings of a response in which a value is seen."""

_KEPT = ("host", "content-length", "transfer-encoding", "connection")
"""Fields that say where a request goes, and how long it is."""


@dataclass(frozen=True, slots=True)
class PlaceholderRule:
    """
    A placeholder, the value that replaces it, and the hosts that get the value over HTTPS.
    """

    placeholder: bytes
    value: bytes = field(repr=False)
    hosts: tuple[str, ...]
    port: int = 443

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> PlaceholderRule:
        """
        Return the rule that the host sent.

        Raises:
            ValueError: there is no placeholder or no value.
        """
        placeholder, value = (str(message[name]).encode() for name in ("placeholder", "value"))
        if not placeholder or not value:
            raise ValueError("a secret without a placeholder or a value")
        return cls(placeholder, value, tuple(message["hosts"]), int(message.get("port", 443)))


_rules: list[PlaceholderRule] = []


def use_rules(messages: Iterable[Mapping[str, Any]]) -> None:
    """
    Use the rules of *messages*, and no others.
    """
    _rules[:] = [PlaceholderRule.from_message(one) for one in messages]


def rules_for(facts: RequestFacts) -> list[PlaceholderRule]:
    """
    Return the rules for a request that was judged by *facts*.
    """
    if not _rules or facts.scheme != "https" or not facts.encrypted:
        return []
    return [one for one in _rules if facts.port == one.port and any_matches(one.hosts, facts.host)]


def with_values(request: http.Request, rules: Iterable[PlaceholderRule]) -> http.Request:
    """
    Return a copy of *request* with values in its header fields, which asks for an uncompressed
    and whole response.
    """
    fields = []
    for name, text in request.headers.fields:
        new = text
        if name.lower().decode("latin-1") not in _KEPT:
            for rule in rules:
                new = new.replace(rule.placeholder, rule.value)
        fields.append((name, new))
    copy = request.copy()
    copy.headers.fields = tuple(fields)
    for name in _DROPPED:
        copy.headers.pop(name, None)
    copy.headers["accept-encoding"] = "identity"
    return copy


def hides(response: http.Response) -> bool:
    """
    Return whether a value could not be seen in *response*: it is compressed, or becomes another
    protocol.
    """
    codings = ",".join(
        response.headers.get(name, "") for name in ("content-encoding", "transfer-encoding")
    )
    return (
        response.status_code == 101
        or not {one.strip().lower() for one in codings.split(",")} <= _PLAIN
    )


class MaskedStream:
    """
    Replaces values in a response by as many asterisks, wherever its pieces are split.

    Data that could become a value with the next piece is held back.

    Args:
        rules: their values are replaced.
    """

    def __init__(self, rules: Iterable[PlaceholderRule]) -> None:
        self._values = sorted({one.value for one in rules}, key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """
        Add *data*, and return what can be passed on.
        """
        data = self.masked(self._held + data)
        at = self._undecided(data)
        self._held = data[at:]
        return data[:at]

    def end(self) -> bytes:
        """
        Return what was held back.
        """
        held, self._held = self._held, b""
        return held

    def masked(self, data: bytes) -> bytes:
        """
        Return *data*, which is complete, without the values.
        """
        for value in self._values:
            data = data.replace(value, b"*" * len(value))
        return data

    def mask_head(self, response: http.Response) -> None:
        """
        Remove the values from the header fields and the reason of *response*.
        """
        response.headers.fields = tuple(
            (self.masked(name), self.masked(text)) for name, text in response.headers.fields
        )
        response.data.reason = self.masked(response.data.reason)

    def _undecided(self, data: bytes) -> int:
        """
        Return the first position at which an incomplete value may begin.
        """
        first = len(data)
        for value in self._values:
            start = max(0, len(data) - len(value) + 1)
            while 0 <= (start := data.find(value[:1], start)) < first:
                if value.startswith(data[start:]):
                    first = start
                start += 1
        return first
