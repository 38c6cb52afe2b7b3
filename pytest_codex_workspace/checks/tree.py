"""The files of a commit, read within bounds."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["CommittedFile", "CommittedTree", "ReadObjects"]

_LINK = "120000"
_LONGEST_LINK = 4096
_LARGEST = 4 << 20
"""Bytes of a file that is read. Lock files are large; larger ones are data."""

_MOST_FILES = 2_000
_MOST_BYTES = 48 << 20
"""What is read of one commit, small files that may be LFS pointers aside."""

_MOST_LINES = 500_000
"""Lines that are looked at. Each rule goes through them."""

_ASIDE = frozenset(
    {"node_modules", "vendor", "third_party", "third-party", "fixtures", "testdata", "test-data"}
    | {"__fixtures__", "site-packages", "bower_components", "Pods", "examples", "templates"}
    | {".github", ".gitlab", ".circleci", ".devcontainer"}
)
"""Folders with files of other projects or machines, which this project's tests do not use."""


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """
    A file of the commit.

    Attributes:
        mode: as git writes it: `100644`, `100755` if it is executable, `120000` for a link.
        blob: id of its content.
        size: of its content, in bytes.
    """

    mode: str
    blob: str
    size: int


ReadObjects = Callable[[Iterable[str]], Mapping[str, bytes]]
"""Returns the contents of objects by id; one that the clone lacks is left out."""


class CommittedTree:
    """
    The files of a repository at a commit.

    Paths are text, from the top of the repository, with `/`: `src/app.py`. To ask whether a file is
    there: `"LICENSE" in tree.files`. To read files: `texts`, or `text` for one.

    Attributes:
        files: every file of the commit by its path, a `CommittedFile` each: also links, and what
            `named`, `suffixed` and `paths` leave out.
        contents: a function that takes ids (`CommittedFile.blob`) and returns the bytes of each by
            its id, of any size. `texts` calls it, within bounds.
        unread: the paths that `texts` has left out because they are too large, alone (4 MiB) or
            together.

    Example:
        >>> files = {"Makefile": CommittedFile("100644", "1", 4)}
        >>> tree = CommittedTree(files, lambda ids: {one: b"all:" for one in ids})
        >>> tree.text("Makefile")
        'all:'
    """

    def __init__(self, files: Mapping[str, CommittedFile], contents: ReadObjects) -> None:
        self.files = files
        self.contents = contents
        self.unread: set[str] = set()
        self._texts: dict[str, str] = {}
        self._bytes = 0
        self._lines = 0
        self._own: list[str] = []
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_suffix: dict[str, list[str]] = defaultdict(list)
        for path, file in files.items():
            above, _, name = path.rpartition("/")
            if file.mode != _LINK and _ASIDE.isdisjoint(above.split("/")):
                self._own.append(path)
                self._by_name[name].append(path)
                _, dot, suffix = name.rpartition(".")
                self._by_suffix[dot + suffix].append(path)

    def named(self, *names: str) -> list[str]:
        """
        Return the paths of the files with one of these names, those near the top first. Left out
        are links, and folders with files of other projects or machines: `node_modules`, `vendor`,
        `third_party`, `fixtures`, `testdata`, `examples`, `templates`, `.github` and the like.
        """
        return _near_first(path for name in names for path in self._by_name.get(name, ()))

    def suffixed(self, *suffixes: str) -> list[str]:
        """
        Return the paths of the files with one of these suffixes, such as `.toml`, those near the
        top first. Left out is what `named` leaves out.
        """
        return _near_first(path for one in suffixes for path in self._by_suffix.get(one, ()))

    def paths(self) -> list[str]:
        """
        Return the paths of all files, those near the top first. Links are left out, and files of
        other projects, as for `named`; `files` has all.
        """
        return _near_first(self._own)

    def texts(self, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
        """
        Yield path and text of each file that exists and can be read, also through a link.
        """
        wanted = list(dict.fromkeys(paths))
        self._read([path for path in wanted if path not in self._texts])
        for path in wanted:
            if path in self._texts:
                yield path, self._texts[path]

    def text(self, path: str) -> str:
        """
        Return the text of a file; empty if there is none, or if it is too large.
        """
        return next((text for _, text in self.texts([path])), "")

    def _read(self, paths: list[str]) -> None:
        accepted: list[str] = []
        for path in paths:
            file = self.files.get(path)
            if file is not None and file.mode == _LINK:
                self._follow(path, file)
                continue
            if file is None or path in self.unread:
                continue
            full = len(self._texts) + len(accepted) >= _MOST_FILES
            if full or file.size > _LARGEST or self._bytes + file.size > _MOST_BYTES:
                self.unread.add(path)
                continue
            self._bytes += file.size
            accepted.append(path)
        contents = self.contents({self.files[path].blob for path in accepted})
        for path in accepted:
            content = contents.get(self.files[path].blob, b"")
            self._lines += content.count(b"\n")
            if self._lines > _MOST_LINES:
                self._lines -= content.count(b"\n")
                self.unread.add(path)
                continue
            self._texts[path] = content.decode("utf-8-sig", "replace")

    def _follow(self, path: str, link: CommittedFile) -> None:
        """
        Read what a link leads to in this commit. A link to a link is not followed.
        """
        if link.size > _LONGEST_LINK:
            return
        target = self.contents([link.blob]).get(link.blob, b"")
        above = posixpath.dirname(path)
        led = posixpath.normpath(posixpath.join(above, os.fsdecode(target)))
        file = self.files.get(led)
        if file is not None and file.mode != _LINK:
            self._read([led] if led not in self._texts else [])
            if led in self._texts:
                self._texts[path] = self._texts[led]


def _near_first(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: (path.count("/"), path))
