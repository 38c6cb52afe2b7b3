"""Copying files and directories into and out of a workspace as tar archives.

Root in the workspace controls a downloaded archive. Therefore `unpack` writes
nothing through a link, refuses links that lead outside, accepts only files,
directories and links, and has a bound for all that it keeps in memory.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from ..engine.tar_headers import bounded_header
from ..errors import TransferError
from .host_tree import HostTree, Parts, RefusedName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["pack", "unpack"]

_IN_MEMORY = 32 << 20
_BYTES_LIMIT = 16 << 30
_MEMBERS_LIMIT = 1_000_000
_HEADERS_LIMIT = 2 << 20
_LINKS_LIMIT = 32 << 20
_LONGEST_PATH = 4095
_DEEPEST = 256
"""Names in a path. `tarfile` and `shutil` need a frame of the stack for each directory."""

_LINK_COST = 200
_FORGED = (tarfile.XGLTYPE,)


def pack(host_path: Path, name: str) -> BinaryIO:
    """
    Return a tar of a file or directory of this machine.

    Everything in it belongs to root. Modes, times and symbolic links are kept,
    devices and sockets are left out. If *host_path* itself is a link, its target is
    packed.

    Args:
        host_path: the file or directory to pack.
        name: its name in the archive.

    Returns:
        The archive, at its start. Close it after use.

    Raises:
        OSError: a file cannot be read.
    """
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- for the caller
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:

            def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
                # Otherwise the archive keeps every header until the end.
                archive.members = []  # type: ignore[attr-defined]
                return _as_root(member)

            archive.add(host_path.resolve(strict=True), name, filter=without_owner)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast("BinaryIO", file)


def unpack(
    pieces: Iterable[bytes],
    to: Path,
    *,
    max_bytes: int = _BYTES_LIMIT,
    max_members: int = _MEMBERS_LIMIT,
) -> None:
    """
    Write a tar of one file or directory to this machine, as `cp -r` does:
    into *to* if that is a directory, otherwise as *to*.

    Args:
        pieces: the archive.
        to: the target on this machine.
        max_bytes: the limit on the bytes of all files together.
        max_members: the limit on the number of files, directories and links.

    Raises:
        TransferError: the archive is unsafe, too large, or damaged. The error
            names the member. Earlier members have been written.
        OSError: a file cannot be written.
    """
    source = _Pieces(iter(pieces))
    unpacked = _Unpacked(to, max_bytes, max_members)
    try:
        stream = cast("BinaryIO", io.BufferedReader(source))
        header = bounded_header(_HEADERS_LIMIT // 2, refused=_FORGED)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=header) as archive:
            unpacked.write(archive, source)
    except (tarfile.TarError, EOFError, RecursionError) as error:
        raise TransferError(f"download to {to}: the archive is damaged: {error}") from None
    finally:
        unpacked.close()


class _Unpacked:
    """
    What has been unpacked of an archive.
    """

    def __init__(self, to: Path, max_bytes: int, max_members: int) -> None:
        self._to = to
        self._bytes = max_bytes
        self._members = max_members
        self._top: str | None = None
        self._tree: HostTree | None = None
        self._files: set[int] = set()
        self._links: dict[Parts, str] = {}
        self._links_size = 0

    def close(self) -> None:
        if self._tree is not None:
            self._tree.close()

    def write(self, archive: tarfile.TarFile, source: _Pieces) -> None:
        while (member := archive.next()) is not None:
            # Otherwise the archive keeps every header until the end.
            archive.members = []  # type: ignore[attr-defined]
            source.allow(None)
            try:
                self._write(archive, member)
            except RefusedName as error:
                raise self._refuse(member.name, str(error)) from None
            source.allow(_HEADERS_LIMIT)
        if self._top is None:
            raise TransferError(f"download to {self._to}: the archive is empty")
        # Links come last, when the directories that they lead through are on the disk.
        for parts, target in self._links.items():
            try:
                self._open_tree().make_link(parts, target)
            except RefusedName as error:
                raise self._refuse("/".join((self._top, *parts)), str(error)) from None

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._members -= 1
        self._bytes -= member.size
        if self._members < 0 or self._bytes < 0:
            raise RefusedName("exceeds the size limit of a download")
        parts = self._place(member.name)
        tree = self._open_tree()
        self._links.pop(parts, None)
        if member.isdir():
            tree.make_directory(parts, (member.mode & 0o755) | 0o700)
        elif member.isreg():
            with tree.create(parts) as file:
                shutil.copyfileobj(cast("BinaryIO", archive.extractfile(member)), file)
                _finish(file, member.mode, member.mtime)
            # Hashes, because there may be a million.
            self._files.add(hash(parts))
        elif member.issym():
            self._note_link(parts, member.linkname)
        elif member.islnk():
            self._copy(tree, parts, member.linkname)
        else:
            raise RefusedName("is neither a file, a directory nor a link")

    def _place(self, name: str) -> Parts:
        """
        Return the path in the tree of a member's name, or of a hard link's target.
        """
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise RefusedName(f"leads out of the directory, to {name[:500]!r}")
        if len(name) > _LONGEST_PATH:
            raise RefusedName("is longer than a path may be")
        if len(parts) > _DEEPEST:
            raise RefusedName("lies in too many directories")
        top = parts[0] if parts else ""
        if self._top is None:
            self._top = top
        if top != self._top and self._top:
            raise RefusedName(f"is not below {self._top!r}")
        return parts[1:] if self._top else parts

    def _open_tree(self) -> HostTree:
        if self._tree is None:
            if self._to.is_dir():
                self._tree = HostTree(self._to, self._top or "")
            else:
                self._tree = HostTree(self._to.parent, self._to.name)
        return self._tree

    def _note_link(self, parts: Parts, target: str) -> None:
        if not 0 < len(target) <= _LONGEST_PATH or "\0" in target:
            raise RefusedName(f"is a link to {target[:500]!r}, which is not a path")
        self._links_size += sum(map(len, parts)) + len(target) + _LINK_COST
        if self._links_size > _LINKS_LIMIT:
            raise RefusedName("is one link more than a download may have")
        self._links[parts] = target

    def _copy(self, tree: HostTree, parts: Parts, target: str) -> None:
        """
        Copy the target of a hard link, because the target may have been replaced since.
        """
        place = self._place(target)
        if place in self._links:
            self._note_link(parts, self._links[place])
            return
        content = tree.open(place) if hash(place) in self._files else None
        if content is None:
            raise RefusedName(
                f"is a hard link to {target[:500]!r}, which is not a file of this download"
            )
        with content:
            status = os.fstat(content.fileno())
            self._bytes -= status.st_size
            if self._bytes < 0:
                raise RefusedName("exceeds the size limit of a download")
            if place == parts:
                return
            with tree.create(parts) as file:
                shutil.copyfileobj(content, file)
                _finish(file, status.st_mode, status.st_mtime)
        self._files.add(hash(parts))

    def _refuse(self, name: str, why: str) -> TransferError:
        return TransferError(
            f"download to {self._to}: {name[:500]!r} {why}. Download the files you need one "
            "by one, or pack them into an archive inside the workspace and download that"
        )


def _finish(file: BinaryIO, mode: int, time: float) -> None:
    file.flush()
    os.fchmod(file.fileno(), (mode & 0o755) | 0o600)
    with suppress(OSError, OverflowError, ValueError):
        os.utime(file.fileno(), (time, time))


class _Pieces(io.RawIOBase):
    """
    A readable file made of pieces of bytes.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""
        self._allowed: int | None = _HEADERS_LIMIT

    def allow(self, count: int | None) -> None:
        """
        Set how many bytes may be read from now on. What is read ahead counts, too.
        """
        self._allowed = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        taken = self._left[: len(buffer)]
        if self._allowed is not None:
            self._allowed -= len(taken)
            if self._allowed < 0:
                raise tarfile.ReadError("its headers never end")
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
