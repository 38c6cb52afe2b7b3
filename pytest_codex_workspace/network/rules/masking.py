"""
Replace values in data that comes in pieces.

This module is copied into the proxy image, so it imports the standard library
only.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MaskedStream"]


class MaskedStream:
    """
    Replaces values in one stream, wherever its pieces are split. Values that overlap are
    replaced together.

    Data that could become a value with the next piece is held back.

    Args:
        values: what is replaced.
        mark: takes the place of a value.
        filler: takes the place of each byte of a value, behind the mark.
    """

    def __init__(self, values: Iterable[bytes], *, mark: bytes = b"", filler: bytes = b"") -> None:
        self._values = tuple(values)
        self._mark = mark
        self._filler = filler
        self._held_back = b""
        # The number of bytes of the rest that belong to a value that was replaced already.
        self._covered = 0

    def feed(self, piece: bytes) -> bytes:
        """
        Add *piece*, and return the data that can be passed on now.
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
                shown += self._mark
            shown += self._filler * (stop - max(start, done))
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
