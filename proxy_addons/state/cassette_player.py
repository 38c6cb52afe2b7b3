"""
The cassette that a workspace plays, and how far it has played it.
"""

from __future__ import annotations

from pytest_codex_workspace.network.rules.cassette import Cassette, Exchange

__all__ = ["CassettePlayer"]


class CassettePlayer:
    """
    One workspace's playback of a cassette.

    Several responses to the same request are played in the order in which they
    were recorded; the last one is then repeated.

    Args:
        cassette: the recorded exchanges.
        played: collects the numbers of the exchanges that were played.
    """

    def __init__(self, cassette: Cassette, played: set[int]) -> None:
        self.cassette = cassette
        self._played = played
        self._numbers = {id(one): number for number, one in enumerate(cassette.exchanges)}
        self._next: dict[tuple[object, ...], int] = {}

    def play(self, method: str, url: str, body: str, headers: dict[str, str]) -> Exchange | None:
        """
        Return the next exchange for a request, `None` if the cassette has none.

        Args:
            method: upper-case method.
            url: redacted URL.
            body: SHA-256 of the body; empty if there is no body.
            headers: fields by lower-case name.
        """
        found = self.cassette.find(method, url, body, headers)
        if not found:
            return None
        number = self._next.get(found[0].identity, 0)
        self._next[found[0].identity] = number + 1
        exchange = found[min(number, len(found) - 1)]
        self._played.add(self._numbers[id(exchange)])
        return exchange
