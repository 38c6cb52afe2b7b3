"""
The commands in the documentation, and what the pages say that they print.

In a block of `console`, a line that begins with `$ ` is a command, and the lines after it are what
it prints; `...` stands for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Command", "commands_in", "commands_of", "every_page", "matches"]

ROOT = Path(__file__).resolve().parents[2]

_VARIES = (
    (re.compile(r"\b(unix|tcp|ssh|npipe|native)://\S+ \(.*\)"), "ENGINE"),
    (re.compile(r"\b[0-9a-f]{12,40}\b"), "ID"),
    (re.compile(r"\b\d+(\.\d+)?( ?)(s|min|h|d)\b"), r"N\2s"),
    (re.compile(r" \(\d+:\d+:\d+\)"), ""),
    (re.compile(r"={3,}|-{3,}|_{3,}"), "==="),
    # The width of a column depends on its other lines.
    (re.compile(r"(?<=\S) {2,}"), "  "),
    (re.compile(r"/[\w./-]*/shop\b"), "/home/me/shop"),
    (re.compile(r"/[\w./-]*/\.cache/"), "/home/me/.cache/"),
    (re.compile(r"\b(Python|pytest|pluggy)([ -])\d+\.\d+\.\d+"), r"\1\2N"),
)
_NOISE = re.compile(
    r"so far$|^codex: (building|pulling|starting|removing|waiting)|^(plugins|cachedir): "
)


@dataclass(frozen=True)
class Command:
    """
    A command of a page.

    Attributes:
        page: the page.
        line: its line there.
        text: what a reader types, without the comment behind it.
        shown: what the page says that it prints; empty if the page does not say.
    """

    page: Path
    line: int
    text: str
    shown: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def every_page() -> list[Path]:
    """
    Return the pages of the documentation.
    """
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands_of(page: Path) -> Iterator[Command]:
    """
    Yield the commands of a page in order.
    """
    for block in re.finditer(r"^```console\n(.*?)^```$", page.read_text(), re.M | re.S):
        yield from commands_in(page, block, 1)


def commands_in(page: Path, block: re.Match[str], group: int | str) -> Iterator[Command]:
    """
    Yield the commands of a block, whose text is a group of *block*.
    """
    line = block.string.count("\n", 0, block.start(group)) + 1
    for found in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[group], re.MULTILINE):
        at = line + block[group].count("\n", 0, found.start())
        yield Command(page, at, re.sub(r"\s+# .*", "", found[1]), found[2])


def matches(shown: str, printed: str) -> bool:
    """
    Return whether a page shows what a command printed, but for times, ids, and where things are.
    """
    pattern = "".join(
        "(.*\n)*" if line.strip() == "..." else re.escape(line) + "\n" for line in _lines(shown)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    lines = []
    for line in text.splitlines():
        plain = line.rstrip()
        if plain and not _NOISE.search(plain):
            for pattern, name in _VARIES:
                plain = pattern.sub(name, plain)
            lines.append(plain)
    return lines
