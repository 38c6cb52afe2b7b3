"""Paths inside a workspace."""

from __future__ import annotations

import errno
import io
import stat
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["Files", "WorkspacePath", "bind"]

_TEXT_LIMIT = 64 << 20
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class Files(Protocol):
    """
    Access to the files of a workspace, as its channel provides.
    """

    def read_file(self, path: str, *, limit: int = ...) -> bytes:
        """
        Return the content of a file of up to *limit* bytes.
        """

    def write_file(self, path: str, data: bytes) -> None:
        """
        Write *data* to a file, in place of its content.
        """

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """
        Return the status of a file; without *follow*, that of a link itself.
        """

    def list_dir(self, path: str) -> Iterator[str]:
        """
        Return the names in a directory, sorted.
        """

    def mkdir(self, path: str, *, parents: bool = False, exist_ok: bool = False) -> None:
        """
        Create a directory.
        """

    def unlink(self, path: str) -> None:
        """
        Remove a file or a link.
        """


class WorkspacePath(PurePosixPath):
    """
    A path in a workspace, with the methods of `PurePosixPath` and the usual methods
    for files. Paths derived from it belong to the same workspace. Errors are those of
    `pathlib.Path`, and `WorkspaceLost` if the container has ended.

    Example:
        >>> ws.path("docs/index.md").read_text()
        '# Welcome'
        >>> [path.name for path in ws.project.iterdir()]
        ['.git', 'README.md', 'docs']
    """

    __slots__ = ()

    _files: ClassVar[Files]
    _start: ClassVar[str]

    if sys.version_info >= (3, 12):

        def __init__(self, *parts: str | os.PathLike[str]) -> None:
            super().__init__(self._start, *parts)

        def with_segments(self, *parts: str | os.PathLike[str]) -> WorkspacePath:
            derived = object.__new__(type(self))
            PurePosixPath.__init__(derived, *parts)
            return derived

    else:

        def __new__(cls, *parts: str | os.PathLike[str]) -> WorkspacePath:
            return super().__new__(cls, cls._start, *parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process has no connection to the workspace, so it gets a plain path.
        return PurePosixPath, (str(self),)

    def read_bytes(self) -> bytes:
        """
        Return the content of the file.

        Raises:
            OSError: the file cannot be read, or is larger than 256 MiB.
        """
        return self._files.read_file(self._name())

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """
        Return the content of the file as text, with universal line ends.

        Raises:
            OSError: the file cannot be read, or is larger than 64 MiB. Text can take four
                times the memory of its bytes; `read_bytes` reads up to 256 MiB.
        """
        data = self._files.read_file(self._name(), limit=_TEXT_LIMIT)
        return io.TextIOWrapper(io.BytesIO(data), encoding, errors).read()

    def write_bytes(self, data: bytes) -> int:
        """
        Write *data* to the file, in place of its content.

        Returns:
            The number of written bytes.
        """
        self._files.write_file(self._name(), bytes(data))
        return len(data)

    def write_text(self, data: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        """
        Write *data* to the file, in place of its content.

        Returns:
            The number of written characters.
        """
        self._files.write_file(self._name(), data.encode(encoding, errors))
        return len(data)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """
        Return the result of `os.stat` inside the workspace.
        """
        return self._files.stat(self._name(), follow=follow_symlinks)

    def exists(self) -> bool:
        """
        Check whether the file or directory exists.
        """
        return self._mode() is not None

    def is_file(self) -> bool:
        """
        Check whether the path is a regular file, or a link to one.
        """
        mode = self._mode()
        return mode is not None and stat.S_ISREG(mode)

    def is_dir(self) -> bool:
        """
        Check whether the path is a directory, or a link to one.
        """
        mode = self._mode()
        return mode is not None and stat.S_ISDIR(mode)

    def is_symlink(self) -> bool:
        """
        Check whether the path is a symbolic link.
        """
        mode = self._mode(follow=False)
        return mode is not None and stat.S_ISLNK(mode)

    def iterdir(self) -> Iterator[WorkspacePath]:
        """
        Return an iterator over the entries of the directory, sorted by name.

        Raises:
            OSError: the directory cannot be read, or its names have more than 64 MiB.
        """
        return map(self.__truediv__, self._files.list_dir(self._name()))

    def unlink(self, missing_ok: bool = False) -> None:
        """
        Remove the file or link.
        """
        try:
            self._files.unlink(self._name())
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """
        Create the directory.

        Args:
            parents: also create missing parent directories.
            exist_ok: ignore a directory that exists already.
        """
        self._files.mkdir(self._name(), parents=parents, exist_ok=exist_ok)

    def _name(self) -> str:
        # Methods such as `relative_to` derive relative paths.
        return str(PurePosixPath(self._start, self))

    def _mode(self, *, follow: bool = True) -> int | None:
        try:
            return self.stat(follow_symlinks=follow).st_mode
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise


def bind(files: Files, root: str) -> type[WorkspacePath]:
    """
    Return the path class of one workspace.

    Args:
        files: the channel of the workspace.
        root: the directory at which relative paths start.
    """
    members = {"__slots__": (), "__module__": __name__, "_files": files, "_start": root}
    return type("WorkspacePath", (WorkspacePath,), members)
