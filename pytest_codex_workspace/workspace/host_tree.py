"""Writing files below one directory of this machine, for names that are not trusted."""

from __future__ import annotations

import os
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HostTree", "Parts", "RefusedName"]

Parts = tuple[str, ...]
"""A path below the tree, as names."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINKS_FOLLOWED = 40


class RefusedName(Exception):
    """
    A name or a link is refused. The text completes "The name ...".
    """


class HostTree:
    """
    A tree of files on this machine.

    Each name is looked up on the disk, one after the other and from an open
    directory, and no link is followed. So it does not matter what lies there: links
    of an earlier download, of this one, or of somebody else.

    Args:
        directory: an existing directory.
        name: the tree in it, which may exist; without it, the directory is the tree.
    """

    def __init__(self, directory: Path, name: str = "") -> None:
        self._prefix: Parts = (name,) if name else ()
        self._path = directory
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._last: tuple[Parts, int] | None = None
        try:
            self._fold = folding(self._root)
        except BaseException:
            os.close(self._root)
            raise
        self._names: dict[int, int] = {}

    def close(self) -> None:
        """
        Close the directories.
        """
        if self._last is not None:
            os.close(self._last[1])
            self._last = None
        os.close(self._root)

    def path(self, parts: Parts) -> Path:
        """
        Return a path for messages.
        """
        return self._path.joinpath(*self._prefix, *parts)

    def make_directory(self, parts: Parts, mode: int) -> None:
        """
        Create a directory with its parents, or set the mode of an existing one.

        Raises:
            RefusedName: a part of the path is a link.
            OSError: a part of the path is something else.
        """
        self._claim(parts)
        os.fchmod(self._directory((*self._prefix, *parts), create=True), mode)

    def create(self, parts: Parts) -> BinaryIO:
        """
        Create a file in place of a file or a link.

        Raises:
            RefusedName: a part of the path is a link.
            OSError: the file cannot be created.
        """
        self._claim(parts)
        parent, name = self._parent(parts)
        self._remove(parent, name)
        try:
            return os.fdopen(os.open(name, _NEW_FILE, 0o600, dir_fd=parent), "wb")
        except OSError as error:
            raise self._located(error, parts) from None

    def open(self, parts: Parts) -> BinaryIO | None:
        """
        Open an existing file; return `None` if there is none, or something else.
        """
        parent, name = self._parent(parts)
        try:
            fd = os.open(name, _OLD_FILE, dir_fd=parent)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return None
        return os.fdopen(fd, "rb")

    def make_link(self, parts: Parts, target: str) -> None:
        """
        Create a symbolic link in place of a file or a link.

        The link leads up, then down. That a link of this form stays inside depends on
        nothing that a later download could change. So `name/..` is accepted only where
        the name is a directory, and is left out of the link.

        Raises:
            RefusedName: the link leads out of the tree, or could later.
            OSError: the link cannot be created.
        """
        if not parts:
            raise RefusedName(f"is itself a link to {target!r}; download what it leads to")
        self._claim(parts)
        self._parent(parts)
        with suppress(_LeadsNowhere):
            self._resolve((*self._prefix, *parts[:-1]), target, [])
        parent, name = self._parent(parts)
        self._remove(parent, name)
        try:
            os.symlink(_without_detours(target), name, dir_fd=parent)
        except OSError as error:
            raise self._located(error, parts) from None

    def _parent(self, parts: Parts) -> tuple[int, str]:
        """
        Return the directory of a path, after creating it, and the last name of the path.
        """
        full = (*self._prefix, *parts)
        if not full:
            raise RefusedName("is the directory itself")
        return self._directory(full[:-1], create=True), full[-1]

    def _directory(self, full: Parts, *, create: bool) -> int:
        """
        Return an open directory, which belongs to this object.
        """
        if not full:
            return self._root
        if self._last is not None and self._last[0] == full:
            return self._last[1]
        start, fd = 0, self._root
        if self._last is not None and full[: len(self._last[0])] == self._last[0]:
            start, fd = len(self._last[0]), self._last[1]
        opened: int | None = None
        try:
            for depth in range(start, len(full)):
                further = self._enter(fd, full[: depth + 1], create)
                if opened is not None:
                    os.close(opened)
                fd = opened = further
        except BaseException:
            if opened is not None:
                os.close(opened)
            raise
        if self._last is not None:
            os.close(self._last[1])
        self._last = (full, fd)
        return fd

    def _enter(self, fd: int, full: Parts, create: bool) -> int:
        try:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(full[-1], 0o777, dir_fd=fd)
            return os.open(full[-1], _DIRECTORY, dir_fd=fd)
        except OSError as error:
            if _is_link(full[-1], fd):
                path = self._path.joinpath(*full)
                raise RefusedName(f"would be written through the link {path}") from None
            raise self._located(error, full[len(self._prefix) :]) from None

    def _remove(self, parent: int, name: str) -> None:
        with suppress(FileNotFoundError):
            mode = os.lstat(name, dir_fd=parent).st_mode
            if stat.S_ISLNK(mode) or stat.S_ISREG(mode):
                os.unlink(name, dir_fd=parent)

    def _resolve(self, here: Parts, target: str, through: list[Parts]) -> Parts:
        """
        Return where the link *target* in the directory *here* leads, as names below the root.

        Raises:
            RefusedName: it leads outside, or could after another download.
            _LeadsNowhere: it leads in a circle.
        """
        if target.startswith("/"):
            raise _leaves(target)
        sure = True
        for part in target.split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                if not sure or len(here) <= len(self._prefix):
                    raise _leaves(target)
                here = here[:-1]
                continue
            here = (*here, part)
            mode, further = self._look(here)
            sure = sure and stat.S_ISDIR(mode)
            if further is not None:
                if here in through:
                    raise _LeadsNowhere
                if len(through) == _LINKS_FOLLOWED:
                    raise _leaves(target)
                here = self._resolve(here[:-1], further, [*through, here])
        return here

    def _look(self, full: Parts) -> tuple[int, str | None]:
        """
        Return the mode of what is on the disk, 0 for nothing; and the target if it is a link.
        """
        try:
            parent = self._directory(full[:-1], create=False)
            mode = os.lstat(full[-1], dir_fd=parent).st_mode
            return mode, os.readlink(full[-1], dir_fd=parent) if stat.S_ISLNK(mode) else None
        except (OSError, RefusedName):
            return 0, None

    def _claim(self, parts: Parts) -> None:
        """
        Check that no other name of this tree has the same file on this file system.
        """
        if self._fold is None:
            return
        # Hashes, because a download has up to a million names.
        for depth in range(1, len(parts) + 1):
            exact = hash(parts[:depth])
            folded = hash(tuple(map(self._fold, parts[:depth])))
            if self._names.setdefault(folded, exact) != exact:
                raise RefusedName("differs from another name only by what this disk does not keep")

    def _located(self, error: OSError, parts: Parts) -> OSError:
        return OSError(error.errno, error.strerror, str(self.path(parts)))


class _LeadsNowhere(Exception):
    """
    A link leads in a circle.
    """


def folding(directory: int) -> Callable[[str], str] | None:
    """
    Return what the file system of an open directory does to names before it compares them; `None`
    if it compares bytes, as usual on Linux.
    """
    name = unicodedata.normalize("NFC", f".codex-workspace-\u00e9-{token_hex(8)}-x")
    try:
        os.close(os.open(name, _NEW_FILE, 0o600, dir_fd=directory))
    except OSError:
        # The first file of the download fails in the same way, with a better error.
        return None
    try:
        case = _exists(name.swapcase(), directory)
        form = _exists(unicodedata.normalize("NFD", name), directory)
    finally:
        os.unlink(name, dir_fd=directory)
    if not case and not form:
        return None

    def fold(text: str) -> str:
        text = unicodedata.normalize("NFD", text) if form else text
        text = text.casefold() if case else text
        return unicodedata.normalize("NFD", text) if form else text

    return fold


def _without_detours(target: str) -> str:
    """
    Return *target* without `name/..`.
    """
    names = [part for part in target.split("/") if part not in ("", ".")]
    parts: list[str] = []
    for name in names:
        if name == ".." and parts and parts[-1] != "..":
            parts.pop()
        else:
            parts.append(name)
    return target if parts == names else "/".join(parts) or "."


def _exists(name: str, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except OSError:
        return False
    return True


def _is_link(name: str, directory: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
    except OSError:
        return False


def _leaves(target: str) -> RefusedName:
    return RefusedName(f"is a link to {target[:500]!r}, which leads out of the directory")
