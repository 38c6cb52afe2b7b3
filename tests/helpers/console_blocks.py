"""The commands in the documentation, and what the pages say that they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .page_examples import ROOT

__all__ = ["Command", "commands_of", "every_page"]


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
    Yield the commands in the blocks of a page that are marked `console`, in order.
    """
    text = page.read_text()
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for found in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[1], re.MULTILINE):
            line = text.count("\n", 0, block.start(1) + found.start()) + 1
            yield Command(page, line, re.sub(r"\s+# .*", "", found[1]), found[2])
