"""
Escape untrusted text for display.

This module is copied into the proxy image, so it imports the standard library
only.
"""

from __future__ import annotations

__all__ = ["plain"]

_LONGEST = 4096


def plain(text: str) -> str:
    """
    Return *text* with all unprintable characters escaped, cut to 4096 characters.

    Example:
        >>> plain("a\\x1b[31m")
        'a\\\\x1b[31m'
    """
    short = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    if short.isprintable():
        return short
    return "".join(each if each.isprintable() else _escaped(each) for each in short)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
