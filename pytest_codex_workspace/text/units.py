"""Parsing and formatting durations and sizes."""

from __future__ import annotations

import re

__all__ = ["parse_duration", "parse_size", "show_duration", "show_elapsed", "show_size"]

_LONGEST = 30
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}


def parse_duration(text: str) -> float:
    """
    Return the seconds in a text such as `90`, `30m`, `12h` or `2d`.

    Raises:
        ValueError: *text* is not a duration above 0.
    """
    number, unit = _parts(text)
    seconds = number * _SECONDS.get(unit.lower(), 0.0)
    if seconds <= 0:
        raise ValueError("must be a duration above 0, such as 90, 30m, 12h or 2d")
    return seconds


def parse_size(text: str) -> int:
    """
    Return the bytes in a text such as `500MB`, `20GB` or `1.5GiB`.

    Raises:
        ValueError: *text* is not a size.
    """
    number, unit = _parts(text)
    if number < 0 or unit.upper() not in _BYTES:
        raise ValueError("must be a size such as 500MB, 20GB or 1.5GiB")
    return int(number * _BYTES[unit.upper()])


def show_duration(seconds: float) -> str:
    """
    Format a duration in its two largest units.
    """
    whole = max(0, int(seconds))
    for size, unit, smaller, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {lesser}"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"


def show_elapsed(seconds: float) -> str:
    """
    Format how long something has taken so far: as a duration, with its seconds up to an hour.
    """
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes} min {rest} s" if 0 < minutes < 60 else show_duration(seconds)


def show_size(size: int) -> str:
    """
    Format a size in its largest unit. Like engines do, use powers of 1000.
    """
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.3g} {unit}"
    return f"{size} B"


def _parts(text: str) -> tuple[float, str]:
    # Nobody means a number of more digits, which would be infinite in the end.
    found = _QUANTITY.fullmatch(text) if text.isascii() and len(text) <= _LONGEST else None
    return (float(found[1]), found[2]) if found else (-1.0, "")
