"""Removing terminal control sequences from text of a workspace."""

from __future__ import annotations

import re

__all__ = ["printable", "without_colours", "without_surrogates"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_RESET = "\x1b[0m"
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """
    Return *text* without control sequences, except colours, and without surrogates.

    A workspace is not trusted with the user's terminal.
    """
    if text.isascii() and text.isprintable():
        return text
    text = without_surrogates(text)
    pieces: list[str] = []
    start = 0
    for colour in _COLOUR.finditer(text):
        pieces += (_CONTROL.sub("", text[start : colour.start()]), colour.group())
        start = colour.end()
    pieces.append(_CONTROL.sub("", text[start:]))
    shown = "".join(pieces)
    return shown + _RESET if start and not shown.endswith(_RESET) else shown


def without_colours(text: str) -> str:
    """
    Return *text* without the sequences that set colours, which `printable` keeps.
    """
    return _COLOUR.sub("", text)


def without_surrogates(text: str) -> str:
    """
    Return *text* with a mark in place of bytes that are not valid text, as file names may have.
    """
    return _SURROGATE.sub("\ufffd", text)
