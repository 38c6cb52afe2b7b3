"""The files of a container of the fake engine, in memory."""

from __future__ import annotations

import io
import posixpath
import tarfile
from copy import copy
from typing import TYPE_CHECKING, BinaryIO

from pytest_codex_workspace.engine.protocol import ContainerChange

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileTree"]


class FileTree:
    """
    Files and directories by absolute path.
    """

    def __init__(self) -> None:
        self._members: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def copy(self) -> FileTree:
        """
        Return a copy that changes independently of this tree.
        """
        tree = FileTree()
        tree._members = dict(self._members)
        return tree

    def is_dir(self, path: str) -> bool:
        """
        Check whether *path* is a directory. A path with files below it always is.
        """
        path = _absolute(path)
        member = self._members.get(path)
        return path == "/" or bool(member and member[0].isdir()) or any(self._below(path))

    @property
    def size(self) -> int:
        """
        The number of bytes in all files.
        """
        return sum(len(data) for _, data in self._members.values())

    def changes_from(self, older: FileTree) -> list[ContainerChange]:
        """
        Return the differences from the tree *older*, sorted by path.
        """
        found = []
        for path in sorted({*self._members, *older._members}):
            before, after = older._members.get(path), self._members.get(path)
            if before is None:
                found.append(ContainerChange(path, "added"))
            elif after is None:
                found.append(ContainerChange(path, "removed"))
            elif after is not before:
                found.append(ContainerChange(path, "changed"))
        return found

    def unpack(self, path: str, archive: BinaryIO) -> None:
        """
        Add the tar *archive* below *path*.
        """
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                data = file.read() if file else b""
                self._members[_absolute(f"{path}/{member.name}")] = (member, data)

    def pack(self, path: str) -> bytes | None:
        """
        Return a tar of *path* and everything below, with names that begin at its
        last part; `None` if *path* does not exist.
        """
        path = _absolute(path)
        if path not in self._members and not self.is_dir(path):
            return None
        base = posixpath.basename(path)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in sorted({path, *self._below(path)}):
                member, data = self._members.get(name) or (_directory(), b"")
                member = copy(member)
                member.name = (
                    posixpath.join(base, posixpath.relpath(name, path)).rstrip("/.") or "."
                )
                tar.addfile(member, io.BytesIO(data))
        return archive.getvalue()

    def _below(self, path: str) -> Iterator[str]:
        prefix = path.rstrip("/") + "/"
        return (name for name in self._members if name.startswith(prefix))


def _directory() -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    return member


def _absolute(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))
