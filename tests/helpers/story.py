"""
Runs a page of the documentation as a reader would: writes its files, types its commands.

A block that follows a line which ends with a name, as in "`prices.py`:", is the content of that
file. In a block of `console`, a line that begins with `$ ` is a command, and the lines after it
are what it prints; `...` stands for any lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_DOCS = Path(__file__).parents[2] / "docs"

STORIES = [
    [_DOCS / "tutorial" / f"{name}.md" for name in ("first-check", "first-test", "first-red-test")],
    [_DOCS / "how-to" / "databases.md"],
    [_DOCS / "how-to" / "browsers.md"],
]
"""Pages that go on in the directory of the page before, from the first line to the last."""

_BLOCK = re.compile(
    r"(?:`(?P<name>[\w./-]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_VARIES = (
    (re.compile(r"\b[0-9a-f]{12,40}\b"), "ID"),
    (re.compile(r"\b\d+(\.\d+)?( ?)(s|min|h|d)\b"), r"N\2s"),
    (re.compile(r" \(\d+:\d+:\d+\)"), ""),
    (re.compile(r"={3,}|-{3,}|_{3,}"), "==="),
    # The width of a column depends on its other lines.
    (re.compile(r"(?<=\S) {2,}"), "  "),
    (re.compile(r"/[\w./-]*/shop\b"), "/home/me/shop"),
    (re.compile(r"/[\w./-]*/\.cache/"), "/home/me/.cache/"),
    (re.compile(r"\b(Python|pytest|pluggy)([ -])\d+\.\d+\.\d+"), r"\1\2N"),
    (re.compile(r"\b(unix|tcp|ssh|npipe)://\S+ \(.*\)"), "ENGINE"),
)
_NOISE = re.compile(
    r"so far$|^codex: (building|pulling|starting|removing|waiting)|^(plugins|cachedir): "
)


@dataclass(frozen=True)
class Step:
    """
    A command of a page.

    Attributes:
        line: the line of the page.
        command: what the reader types.
        shown: what the page says that it prints.
    """

    line: int
    command: str
    shown: str


def steps(page: Path, directory: Path) -> Iterator[Step]:
    """
    Return the commands of a page in order; before each, the files that the page names by then are
    written.
    """
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        if block["name"] and block["kind"] != "console":
            path = directory / block["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"])
        elif block["kind"] == "console":
            line = text.count("\n", 0, block.start("text")) + 1
            for command in re.findall(r"^\$ .*\n(?:(?!\$ ).*\n)*", block["text"], re.MULTILINE):
                first, _, shown = command.partition("\n")
                yield Step(line, first.removeprefix("$ "), shown)
                line += command.count("\n")


def typed(step: Step, directory: Path, environment: Mapping[str, str]) -> str:
    """
    Return what a command prints, errors included.
    """
    done = subprocess.run(
        ["bash", "-c", step.command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


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
