"""What a draft consists of. Everything in it names the file that it comes from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = [
    "UNLOCKED",
    "Draft",
    "Hint",
    "Install",
    "ServiceDraft",
    "Setting",
    "TestCommand",
    "browser_hint",
    "in_folder",
]

UNLOCKED = "no lock file: newer versions are installed when they are published"
"""The note of an installation without a lock file."""

_CHROME_PACKAGE = "google-chrome-stable_current_amd64.deb"
_CHROME = (
    f"curl -fsSLo /tmp/chrome.deb https://dl.google.com/linux/direct/{_CHROME_PACKAGE}",
    "apt-get update",
    "apt-get install -y /tmp/chrome.deb",
)
"""Lines that install a browser where the distribution has none."""


@dataclass(frozen=True, slots=True)
class Install:
    """
    Commands that install what a repository needs, in both scripts.

    Attributes:
        source: the file that asks for it.
        lines: lines of bash.
        note: what to know about them; empty if nothing.
    """

    source: str
    lines: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """
    A version of a runtime, or a variable.
    """

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ServiceDraft:
    """
    A service that others describe for Docker.

    Attributes:
        name: its name.
        package: the Debian package of its program.
        command: starts it.
        port: the port on which it listens.
        source: the file that describes it.
    """

    name: str
    package: str
    command: str
    port: int
    source: str


@dataclass(frozen=True, slots=True)
class Hint:
    """
    Something that a person has to decide: a comment in `setup-script.sh`.

    Attributes:
        source: the file that it comes from.
        text: a sentence.
        lines: lines of bash that may be needed, as comments.
        last: whether they run after the installations, and not before.
    """

    source: str
    text: str
    lines: tuple[str, ...] = ()
    last: bool = False


@dataclass(frozen=True, slots=True)
class TestCommand:
    """
    A command that runs tests of the repository.
    """

    __test__ = False  # Not a class of tests, whatever pytest makes of its name.

    command: str
    source: str


@dataclass(slots=True)
class Draft:
    """
    All that was found in a tree.
    """

    installs: list[Install] = field(default_factory=list)
    runtimes: list[Setting] = field(default_factory=list)
    env: list[Setting] = field(default_factory=list)
    services: list[ServiceDraft] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)
    tests: list[TestCommand] = field(default_factory=list)

    def __bool__(self) -> bool:
        has_lines = any(one.lines for one in self.hints)
        return bool(self.installs or self.runtimes or self.env or self.services or has_lines)


def in_folder(folder: str, lines: Sequence[str]) -> tuple[str, ...]:
    """
    Return lines of bash that run in a folder, which is empty for the top.
    """
    if not folder:
        return tuple(lines)
    return (f"(cd {shlex.quote(folder)} && {' && '.join(lines)})",)


def browser_hint(source: str, library: str, folder: str, install: str | None) -> Hint:
    """
    Return what installs the browser that a library drives.

    Args:
        source: the file that names the library.
        library: its name.
        folder: that of the project; empty for the top.
        install: the command of the library; `None` if it drives a browser of the system.
    """
    text = f"has {library}, which needs a browser, from hosts outside of Codex's presets"
    if install is None:
        return Hint(source, text, _CHROME)
    # The library is there when the project is installed.
    return Hint(source, text, in_folder(folder, [install]), last=True)
