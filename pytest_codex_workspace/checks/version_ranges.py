"""Ranges of versions as npm, Composer, Cargo, Poetry and Python write them.

A selected version such as `20` or `3.12` stands for all versions that begin with it: which of them
an image has is not known. So the question is whether a range accepts one of these.
"""

from __future__ import annotations

import re
from typing import Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet

__all__ = ["Dialect", "accepts", "is_of_python", "numbers_of"]

Dialect = Literal["npm", "composer", "python"]
"""`~1.2` is below 1.3 for npm and below 2 for Composer; Python has the rules of PEP 440."""

_Version = tuple[int, int, int]
_Interval = tuple[_Version, _Version]
"""From the first version to below the second."""

_LOWEST: _Version = (0, 0, 0)
_HIGHEST: _Version = (1 << 30, 0, 0)
_LONGEST = 1000
"""Characters of a range. Longer ones are nobody's, and would take long."""

_DIGITS = 9
_ONE = re.compile(
    r"(?P<op>[<>=~^!]*)\s*v?(?P<number>[\dxX*]+(?:\.[\dxX*]+){0,3})(?:[-+@][\w.+-]*)?"
)
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")


def numbers_of(text: str) -> tuple[int, ...]:
    """
    Return the numbers at the beginning of a version: `v20.11.0` has three, `3.12` two. There are
    none in what cannot be a version, because a number has too many digits.
    """
    found = re.match(r"[v=\s]*([0-9]+(?:\.[0-9]+)*)", text[:_LONGEST])
    parts = found[1].split(".") if found else []
    return () if any(len(one) > _DIGITS for one in parts) else tuple(map(int, parts))


def accepts(wanted: str, selected: str, dialect: Dialect = "npm") -> bool:
    """
    Check whether a range accepts one of the versions that begin with *selected*. What cannot be
    read accepts everything.
    """
    numbers = numbers_of(selected)
    if not numbers or len(wanted) > _LONGEST:
        return True
    if dialect == "python":
        return _python_accepts(wanted, numbers)
    mine = _all_with(numbers)
    alternatives = re.split(r"\s*\|\|?\s*", wanted.strip())
    found = [_alternative(one, dialect) for one in alternatives]
    return any(one is None or _overlaps(_meet(one), mine) for one in found)


def is_of_python(wanted: str) -> bool:
    """
    Check whether a range is one of PEP 440.
    """
    if len(wanted) > _LONGEST:
        return False
    try:
        SpecifierSet(wanted)
    except InvalidSpecifier:
        return False
    return True


def _python_accepts(wanted: str, numbers: tuple[int, ...]) -> bool:
    selected = ".".join(map(str, numbers))
    minor = f"{numbers[0]}.{numbers[1] if len(numbers) > 1 else 12}"
    all_of_it = [selected] if len(numbers) > 2 else [f"{minor}.{patch}" for patch in range(40)]
    try:
        accepted = SpecifierSet(wanted)
        return any(accepted.contains(one) for one in all_of_it)
    except ValueError:  # Also of a number of too many digits.
        return True


def _alternative(text: str, dialect: Dialect) -> list[_Interval] | None:
    """
    Return intervals that must all be met; `None` for a text that cannot be read.
    """
    if text.strip() in ("", "*", "x", "latest", "node", "stable"):
        return [(_LOWEST, _HIGHEST)]
    if hyphen := _HYPHEN.fullmatch(text.strip()):
        low, high = numbers_of(hyphen[1]), numbers_of(hyphen[2])
        return [(_filled(low), _all_with(high)[1])] if low and high else None
    intervals = []
    rest = re.sub(r"([<>=~^!])\s+", r"\1", text.replace(",", " ")).split()
    for one in rest:
        found = _ONE.fullmatch(one)
        if found is None:
            return None
        intervals.append(_interval(found["op"], found["number"], dialect))
    return intervals


def _interval(operator: str, number: str, dialect: Dialect) -> _Interval:
    known: list[int] = []
    for part in number.split("."):
        if not part.isdecimal() or len(part) > _DIGITS:
            break
        known.append(int(part))
    numbers = tuple(known[:3])
    if not numbers or operator.startswith("!"):
        return (_LOWEST, _HIGHEST)
    low, above = _filled(numbers), _all_with(numbers)[1]
    if operator.startswith(">"):
        return (low if "=" in operator else above, _HIGHEST)
    if operator.startswith("<"):
        return (_LOWEST, above if "=" in operator else low)
    if operator.startswith("^"):
        fixed = next((at for at, one in enumerate(numbers) if one), len(numbers) - 1)
        return (low, _all_with(numbers[: fixed + 1])[1])
    if operator.startswith("~"):
        parts = 2 if dialect == "npm" else max(1, len(numbers) - 1)
        return (low, _all_with(numbers[:parts])[1])
    return (low, above)


def _filled(numbers: tuple[int, ...]) -> _Version:
    first, second, third = (*numbers, 0, 0, 0)[:3]
    return first, second, third


def _all_with(numbers: tuple[int, ...]) -> _Interval:
    numbers = numbers[:3]
    return _filled(numbers), _filled((*numbers[:-1], numbers[-1] + 1))


def _meet(intervals: list[_Interval]) -> _Interval:
    return max(low for low, _ in intervals), min(high for _, high in intervals)


def _overlaps(one: _Interval, other: _Interval) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])
