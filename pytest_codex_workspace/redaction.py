"""Taking secret values out of what is shown, logged and kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

__all__ = ["MARK", "SHORTEST", "Redaction", "Stream"]

MARK = "***"
"""Stands where a secret was."""

SHORTEST = 4
"""Characters below which a value is found in text that has nothing to do with it."""

_SHORTEST_LINE = 8


class Redaction:
    """
    Finds secret values in text and in streams: as they are, each longer line of
    one that has several, and as URLs, JSON and shells write them.

    What lies in two overlapping values is replaced as one.

    Args:
        values: the secrets.

    Example:
        >>> Redaction(["hunter22"]).text("the password is hunter22.")
        'the password is ***.'
    """

    def __init__(self, values: Iterable[str]) -> None:
        found = {form for value in values for form in _forms(value)}
        self._forms = sorted(form for form in found if form)

    def stream(self) -> Stream:
        """
        For output that comes in pieces.
        """
        return Stream(self._forms)

    def data(self, data: bytes) -> bytes:
        """
        *data* without the values.
        """
        stream = self.stream()
        return stream.feed(data) + stream.end()

    def text(self, text: str) -> str:
        """
        *text* without the values.
        """
        clean = self.data(text.encode("utf-8", "surrogateescape"))
        return clean.decode("utf-8", "surrogateescape")


class Stream:
    """
    One output from which values are taken, wherever its pieces are cut.

    What could become a value with the next piece is held back.
    """

    def __init__(self, forms: list[bytes]) -> None:
        self._values = forms
        self._rest = b""
        # So many bytes of the rest lie in a value that was replaced already.
        self._covered = 0

    def feed(self, piece: bytes) -> bytes:
        """
        What can be shown once *piece* has come.
        """
        if not self._values:
            return piece
        text = self._rest + piece
        return self._take(text, self._undecided(text))

    def end(self) -> bytes:
        """
        What was held back.
        """
        return self._take(self._rest, len(self._rest))

    def _undecided(self, text: bytes) -> int:
        """
        Where the first value may begin whose end has not come.
        """
        first = len(text)
        for value in self._values:
            start = max(0, len(text) - len(value) + 1)
            while 0 <= (start := text.find(value[:1], start)) < first:
                if value.startswith(text[start:]):
                    first = start
                start += 1
        return first

    def _take(self, text: bytes, end: int) -> bytes:
        shown = bytearray()
        done = self._covered
        for start, stop in self._found(text, end):
            if start >= done:
                shown += text[done:start]
                shown += MARK.encode()
            done = max(done, stop)
        shown += text[done:end]
        self._rest = text[end:]
        self._covered = max(0, done - end)
        return bytes(shown)

    def _found(self, text: bytes, end: int) -> list[tuple[int, int]]:
        """
        Where each value is that begins before *end*.
        """
        spans: list[tuple[int, int]] = []
        for value in self._values:
            last = end + len(value) - 1
            start = text.find(value, 0, last)
            while start >= 0:
                spans.append((start, start + len(value)))
                start = text.find(value, start + 1, last)
        return sorted(spans)


def _forms(value: str) -> set[bytes]:
    whole = value.strip()
    lines = [line.strip() for line in whole.splitlines()]
    texts = {whole, *(line for line in lines if len(line) >= _SHORTEST_LINE)}
    forms: set[str] = set()
    for text in texts:
        raw = text.encode("utf-8", "surrogateescape")
        forms |= {
            text,
            quote(raw),
            quote(raw, safe=""),
            quote_plus(raw),
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            text.replace("'", r"'\''"),
        }
    return {form.encode("utf-8", "surrogateescape") for form in forms}
