"""Removing secret values from output, logs and records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from ..network.rules.masking import MaskedStream
from ..text.credentials import MASK

__all__ = ["SHORTEST", "Redaction", "forms_of"]

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

    def stream(self) -> MaskedStream:
        """
        Return a filter for output that comes in pieces.
        """
        return MaskedStream(self._forms, mark=MASK.encode())

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
