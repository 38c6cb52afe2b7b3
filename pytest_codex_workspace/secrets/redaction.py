"""Removing secret values from output, logs and records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

__all__ = ["MARK", "SHORTEST", "RedactedStream", "Redaction", "forms_of"]

MARK = "***"
"""The text that replaces a secret."""

SHORTEST = 4
"""The least number of characters of a secret. Shorter values occur in unrelated text."""

_SHORTEST_LINE = 8


class Redaction:
    """
    Finds secret values in text and in streams: the values themselves, the longer
    lines of values with several lines, and their forms in URLs, JSON and shells.

    Overlapping values are replaced together.

    Args:
        values: the secrets.

    Example:
        >>> Redaction(["hunter22"]).text("the password is hunter22.")
        'the password is ***.'
    """

    def __init__(self, values: Iterable[str]) -> None:
        found = {form for value in values for form in forms_of(value)}
        self._forms = sorted(form for form in found if form)

    def stream(self) -> RedactedStream:
        """
        Return a filter for output that comes in pieces.
        """
        return RedactedStream(self._forms)

    def data(self, data: bytes) -> bytes:
        """
        Return *data* without the values.
        """
        stream = self.stream()
        return stream.feed(data) + stream.end()

    def text(self, text: str) -> str:
        """
        Return *text* without the values.
        """
        clean = self.data(text.encode("utf-8", "surrogateescape"))
        return clean.decode("utf-8", "surrogateescape")


class RedactedStream:
    """
    Removes values from one output, wherever its pieces are split.

    Data that could become a value with the next piece is held back.
    """

    def __init__(self, forms: list[bytes]) -> None:
        self._values = forms
        self._held_back = b""
        # The number of bytes of the rest that belong to a value that was replaced already.
        self._covered = 0

    def feed(self, piece: bytes) -> bytes:
        """
        Add *piece*, and return the data that can be shown now.
        """
        if not self._values:
            return piece
        text = self._held_back + piece
        return self._take(text, self._undecided(text))

    def end(self) -> bytes:
        """
        Return the data that was held back.
        """
        return self._take(self._held_back, len(self._held_back))

    def _undecided(self, text: bytes) -> int:
        """
        Return the first position at which an incomplete value may begin.
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
        self._held_back = text[end:]
        self._covered = max(0, done - end)
        return bytes(shown)

    def _found(self, text: bytes, end: int) -> list[tuple[int, int]]:
        """
        Return start and end of each value that begins before *end*.
        """
        spans: list[tuple[int, int]] = []
        for value in self._values:
            last = end + len(value) - 1
            start = text.find(value, 0, last)
            while start >= 0:
                spans.append((start, start + len(value)))
                start = text.find(value, start + 1, last)
        return sorted(spans)


def forms_of(value: str) -> set[bytes]:
    """
    Return the forms of a value that are replaced.
    """
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
