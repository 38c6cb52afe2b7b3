"""Reading TOML of a repository, in bounded time."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from typing import Any

__all__ = ["read_toml"]

_MOST_WORK = 20_000_000
"""Steps, each of which takes some ten nanoseconds. A file that people or tools write needs a few
thousand."""

_LONG_NUMBER = re.compile(r"(?<![0-9A-Za-z_])0[xob][0-9A-Fa-f_]{500}")
"""Python reads such a number, and then refuses to write it."""


def read_toml(text: str) -> dict[str, Any]:
    """
    Return the tables of a TOML document. They are shared between all who ask: do not change them.

    Raises:
        ValueError: it is invalid, or nothing that people or tools write: its keys have so many
            parts, or its values are nested so deeply, that reading it would take very long.
    """
    found = _read(text)
    if isinstance(found, str):
        raise ValueError(found)
    return found


@lru_cache(maxsize=4)
def _read(text: str) -> dict[str, Any] | str:
    """
    Return the tables, or why there are none. Several rules look at the same few files.
    """
    if _LONG_NUMBER.search(text):
        return "a number has too many digits"
    if _work(text) > _MOST_WORK:
        return "the keys have too many parts"
    try:
        return tomllib.loads(text)
    except RecursionError:
        return "the values are nested too deeply"
    except ValueError as error:
        return str(error)


def _work(text: str) -> int:
    """
    Estimate the steps of tomllib: for each part of a key, it looks at all parts before, those of
    the table's name too. Dots in values are counted with those of keys, so as not to be a parser.
    """
    work = longest = 0
    for line in text.split("\n"):
        dots = line.count(".") + 1
        if line.lstrip(" \t").startswith("["):
            longest = max(longest, dots)
        work += dots * (longest + dots)
    return work
