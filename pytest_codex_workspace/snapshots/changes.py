"""What has changed in a workspace, as tests see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, overload

from ..text.phrases import counted
from ..text.printable import printable
from ..text.units import show_size

__all__ = ["FileChange", "FileChanges"]

_SHOWN = 20
_LETTERS = {"added": "A", "changed": "M", "removed": "D"}


@dataclass(frozen=True, slots=True)
class FileChange:
    """
    A file that has changed. Name, kind and content come from the workspace: they are not trusted.

    Attributes:
        path: since `head`, from the project directory, otherwise from `/`.
        kind: `added`, `changed` or `removed`.
        size: bytes of the file now; 0 if it was removed.
    """

    path: str
    kind: Literal["added", "changed", "removed"]
    size: int
    _text: str = field(default="", repr=False)

    def __str__(self) -> str:
        """
        Return a line for people: `M package.json (1.2 kB)`.
        """
        size = "" if self.kind == "removed" else f" ({show_size(self.size)})"
        return f"{_LETTERS[self.kind]} {printable(self.path)}{size}"

    def text(self) -> str:
        """
        Return the change as a patch. It is empty for a file that is not text or is larger than
        1 MiB, and for changes since `start` or a snapshot.
        """
        return self._text


class FileChanges(Sequence[FileChange]):
    """
    The files that have changed in a workspace, sorted by path.

    Attributes:
        since: what was compared with, in words.
        more: how many changes were left out because there are too many.
        truncated: whether some changes, or the text of some, were left out because of their number
            or size.
    """

    def __init__(
        self, found: Iterable[FileChange], since: str, *, more: int = 0, truncated: bool = False
    ) -> None:
        self._found = tuple(found)
        self.more = more
        self.since = since
        self.truncated: bool = truncated or more > 0

    @overload
    def __getitem__(self, index: int) -> FileChange: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FileChange]: ...

    def __getitem__(self, index: int | slice) -> FileChange | Sequence[FileChange]:
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<FileChanges since {self.since}: {', '.join(self.lines(5)) or 'none'}>"

    def lines(self, most: int = 200) -> list[str]:
        """
        Return a line for each of the first *most* changes, and one for the others.
        """
        more = max(0, len(self) - most) + self.more
        others = [f"and {counted(more, 'other')}"] if more else []
        return [*map(str, self._found[:most]), *others]

    def assert_unchanged(self, *globs: str) -> None:
        """
        Fail if a file has changed that one of *globs* names; without *globs*, if any has.

        As in `.gitignore`, a pattern without a slash names files and directories anywhere, one with
        a slash starts at the project directory (for `head`) or at `/`, `*` stops at a slash and
        `**` does not. A directory stands for everything in it.

        Raises:
            AssertionError: such a file has changed, or there are too many changes to know.

        Example:
            >>> ws.diff().assert_unchanged("package-lock.json", "src/**/*.py")  # doctest: +SKIP
        """
        __tracebackhide__ = True
        found = [one for one in self if not globs or any(_names(glob, one) for glob in globs)]
        what = " or ".join(map(repr, globs)) or "nothing"
        if found:
            shown = "\n  ".join(FileChanges(found, "").lines(_SHOWN))
            raise AssertionError(
                f"{what} should be unchanged since {self.since}, but "
                f"{counted(len(found), 'file')} changed:\n  {shown}"
                if globs
                else f"nothing should have changed since {self.since}, but "
                f"{counted(len(found), 'file')} did:\n  {shown}"
            )
        if self.more:
            raise AssertionError(
                f"whether {what} changed since {self.since} is not known: "
                f"{counted(self.more, 'change')} of {len(self) + self.more} could not be listed"
            )


def _names(glob: str, change: FileChange) -> bool:
    """
    Return whether a pattern names a changed file, a directory above it, or something in a directory
    that was removed as a whole.
    """
    parts = change.path.strip("/").split("/")
    pattern = glob.strip("/").split("/")
    if "/" not in glob.rstrip("/"):
        return any(fnmatchcase(part, pattern[0]) for part in parts)
    if change.kind == "removed" and "**" not in pattern[: len(parts)] and len(pattern) > len(parts):
        pattern = pattern[: len(parts)]
    return _begins(parts, pattern)


def _begins(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """
    Return whether the first parts of a path match a pattern.
    """
    matched = {0}  # So much of the pattern may stand for the parts so far.
    for part in (*parts, ""):
        for number, word in enumerate(pattern):
            if word == "**" and number in matched:
                matched.add(number + 1)
        if len(pattern) in matched:
            return True
        matched = {
            number + (pattern[number] != "**")
            for number in matched
            if pattern[number] == "**" or fnmatchcase(part, pattern[number])
        }
    return False
