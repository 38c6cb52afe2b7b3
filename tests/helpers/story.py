"""
Runs a page of the documentation as a reader would: writes its files, types its commands.

A block that follows a line which ends with a name, as in "`prices.py`:", is the content of that
file. Commands are those of `console_blocks`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from .console_blocks import ROOT, Command, commands_in

__all__ = ["BROWSERS", "CHECK_OF_ONES_OWN", "STORIES", "steps", "typed"]

_DOCS = ROOT / "docs"

STORIES = [
    [_DOCS / "tutorial" / f"{name}.md" for name in ("first-check", "first-test", "first-red-test")],
    [_DOCS / "how-to" / "databases.md"],
]
"""Pages that go on in the directory of the page before, from the first line to the last."""

BROWSERS = _DOCS / "how-to" / "browsers.md"
"""A story that is told without an engine: it takes minutes to install a browser in a workspace."""

CHECK_OF_ONES_OWN = _DOCS / "how-to" / "add-a-check.md"
"""A story whose package a test puts on the path of Python."""

_BLOCK = re.compile(
    r"(?:`(?P<name>[\w./-]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def steps(page: Path, directory: Path) -> Iterator[Command]:
    """
    Yield the commands of a page in order; before each, the files that the page names by then are
    written.
    """
    for block in _BLOCK.finditer(page.read_text()):
        if block["kind"] == "console":
            yield from commands_in(page, block, "text")
        elif block["name"]:
            path = directory / block["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"])


def typed(command: Command, directory: Path, environment: Mapping[str, str]) -> str:
    """
    Return what a command prints, errors included.
    """
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout
