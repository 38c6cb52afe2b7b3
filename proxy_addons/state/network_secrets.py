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
from pytest_codex_workspace.network.rules.masking import MaskedStream

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.rules.policy import RequestFacts

__all__ = ["MaskedResponse", "PlaceholderRule", "hides", "rules_for", "use_rules", "with_values"]

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


class MaskedResponse:
    """
    A response in which values are replaced by as many asterisks.

    Args:
        rules: their values are replaced.

    Attributes:
        body: the filter for its body.
    """

    def __init__(self, rules: Iterable[PlaceholderRule]) -> None:
        self._values = [one.value for one in rules]
        self.body = self._stream()

    def mask_head(self, response: http.Response) -> None:
        """
        Remove the values from the header fields and the reason of *response*.
        """
        self.mask_fields(response.headers)
        response.data.reason = self._masked(response.data.reason)

    def mask_fields(self, headers: http.Headers) -> None:
        """
        Remove the values from header fields or trailers.
        """
        headers.fields = tuple(
            (self._masked(name), self._masked(text)) for name, text in headers.fields
        )

    def _masked(self, data: bytes) -> bytes:
        stream = self._stream()
        return stream.feed(data) + stream.end()

    def _stream(self) -> MaskedStream:
        return MaskedStream(self._values, filler=b"*")
