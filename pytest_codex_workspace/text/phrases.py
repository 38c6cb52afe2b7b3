"""Small pieces of messages: "did you mean", numbers with their noun, lists, and short texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["counted", "cut_end", "cut_middle", "did_you_mean", "first_line", "first_of", "was"]


def did_you_mean(name: str, known: Iterable[str], *, first: Iterable[str] = ()) -> str:
    """
    Return a suggestion to put behind an unknown *name*.

    Args:
        name: the unknown name.
        known: the valid names.
        first: names to suggest in any case, before the most similar of *known*.

    Returns:
        Text such as ` (did you mean 'image'?)`; empty if no name is similar.
    """
    similar = list(first)
    for one in difflib.get_close_matches(name, list(known), 3 if similar else 1):
        if one not in similar:
            similar.append(one)
    return f" (did you mean {' or '.join(map(repr, similar))}?)" if similar else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """
    Return *number* with its noun: `1 check`, `2 checks`.

    Args:
        number: how many.
        noun: the singular.
        plural: the plural, if it is not formed with an s.
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def cut_end(text: str, length: int) -> str:
    """
    Return the first *length* characters of *text*, with a mark if there are more.
    """
    return text if len(text) <= length else f"{text[:length]}..."


def first_line(text: str, length: int) -> str:
    """
    Return the first line of *text*, with a mark if there are more; of a line that is longer than
    *length*, the middle is left out.
    """
    first, *more = text.splitlines() or [""]
    return cut_middle(first, length) + (" ..." if more else "")


def cut_middle(text: str, length: int) -> str:
    """
    Return *text* with a mark in place of its middle, if it is longer than *length*.
    """
    if len(text) <= length:
        return text
    half = (length - 5) // 2
    return f"{text[: length - 5 - half]} ... {text[-half:]}"


def first_of(names: Sequence[str], shown: int) -> str:
    """
    Return the first *shown* of *names*, and how many others there are: `a, b and 3 more`.
    """
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def was(number: int) -> str:
    """
    Return the verb for *number* things: `1 request was`, `2 requests were`.
    """
    return "was" if number == 1 else "were"
