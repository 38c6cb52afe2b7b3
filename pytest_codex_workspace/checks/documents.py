"""JSON and TOML of a repository, whatever is in it, and the lines of what is said there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..text.toml_tables import read_toml

__all__ = [
    "json_line",
    "json_of",
    "line_of_text",
    "line_with",
    "subtable",
    "texts_of",
    "toml_of",
    "without_comment",
]


def json_of(text: str) -> dict[str, Any]:
    """
    Return a JSON document that is a mapping; any other is empty.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def toml_of(text: str) -> dict[str, Any]:
    """
    Return a TOML document; an invalid one is empty.
    """
    try:
        return read_toml(text)
    except ValueError:
        return {}


def subtable(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """
    Return the mapping below *keys*; empty if there is none.
    """
    found: Any = data
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def texts_of(value: Any) -> Iterator[str]:
    """
    Yield the texts of a list, or of the lists of a mapping.
    """
    if isinstance(value, Mapping):
        for one in value.values():
            yield from texts_of(one)
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))


def json_line(text: str, *keys: str) -> int:
    """
    Return the line of a key in a JSON document, found below the keys before it; that of the last
    key that is found otherwise.
    """
    at = 0
    for key in keys:
        found = re.compile(rf"{re.escape(json.dumps(key))}\s*:").search(text, at)
        if found is None:
            break
        at = found.start()
    return text.count("\n", 0, at) + 1


def line_with(text: str, pattern: str) -> int | None:
    """
    Return the number of the first line in which *pattern* is found.
    """
    found = re.compile(pattern, re.MULTILINE).search(text)
    if found is None:
        return None
    # `\s*` at the beginning may have matched empty lines above.
    start = found.end() - len(found[0].lstrip())
    return text.count("\n", 0, start) + 1


def line_of_text(text: str, value: str) -> int | None:
    """
    Return the number of the first line that contains *value*, in quotes if it is anywhere in
    quotes. Comments do not count.
    """
    lines = [without_comment(line) for line in text.splitlines()]
    for wanted in (f'"{value}"', f"'{value}'", value):
        for number, line in enumerate(lines, 1):
            if wanted in line:
                return number
    return None


def without_comment(line: str, mark: str = "#") -> str:
    """
    Return *line* without a comment at its end.
    """
    at = re.search(rf"(^|\s){re.escape(mark)}", line)
    return line[: at.start()] if at else line
