"""Copying files and directories into and out of a workspace as tar archives.

Root in the workspace controls a downloaded archive. Therefore `unpack` writes
nothing through a link, refuses links that lead outside, and accepts only files,
directories and links.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from ..errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["pack", "unpack"]

_IN_MEMORY = 32 << 20
_BYTES_LIMIT = 16 << 30
_MEMBERS_LIMIT = 1_000_000
_HEADER_LIMIT = 1 << 20
_LINKS_FOLLOWED = 40
_LINK_LENGTH = 4095
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)

_Parts = tuple[str, ...]


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
            archive.add(host_path.resolve(strict=True), name, filter=_as_root)
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
    stream = cast("BinaryIO", io.BufferedReader(_Pieces(iter(pieces))))
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedHeader) as archive:
            _Tree(to, max_bytes, max_members).write(archive)
    except (tarfile.TarError, EOFError) as error:
        raise TransferError(f"download to {to}: the archive is damaged: {error}") from None


class _Tree:
    """
    The tree that an archive is unpacked to.
    """

    def __init__(self, to: Path, max_bytes: int, max_members: int) -> None:
        self._to = to
        self._bytes = max_bytes
        self._members = max_members
        self._top: str | None = None
        self._base = to
        self._links: dict[_Parts, str] = {}

    def write(self, archive: tarfile.TarFile) -> None:
        while (member := archive.next()) is not None:
            # Otherwise the archive keeps every header until the end.
            archive.members = []  # type: ignore[attr-defined]
            self._members -= 1
            self._bytes -= member.size
            if self._members < 0 or self._bytes < 0:
                raise self._refuse(member, "exceeds the size limit of a download")
            parts = self._place(member.name, member)
            self._links.pop(parts, None)
            if member.isdir():
                self._make_directory(parts, member)
            elif member.isreg():
                with self._create(parts, member) as file:
                    shutil.copyfileobj(cast("BinaryIO", archive.extractfile(member)), file)
                self._finish(parts, member)
            elif member.issym():
                self._links[parts] = member.linkname
            elif member.islnk():
                self._copy_link(parts, member)
            else:
                raise self._refuse(member, "is neither a file, a directory nor a link")
        if self._top is None:
            raise TransferError(f"download to {self._to}: the archive is empty")
        # Links come last, so that nothing is written through one.
        for parts, target in self._links.items():
            self._make_link(parts, target)

    def _place(self, name: str, member: tarfile.TarInfo) -> _Parts:
        """
        Return the path below the base of *name*, which is *member*'s or its link's target.
        """
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise self._refuse(member, f"leads out of the directory, to {name[:500]!r}")
        top = parts[0] if parts else ""
        if self._top is None:
            self._top = top
            if self._to.is_dir():
                self._base = self._to / top
        if top != self._top and self._top:
            raise self._refuse(member, f"is not below {self._top!r}")
        return parts[1:] if self._top else parts

    def _path(self, parts: _Parts, member: tarfile.TarInfo) -> Path:
        """
        Return the path on this machine, after creating its parent directories.
        """
        path = self._base
        for part in parts:
            self._check_directory(path, member)
            path = path / part
        return path

    def _check_directory(self, path: Path, member: tarfile.TarInfo) -> None:
        if path.is_symlink():
            raise self._refuse(member, f"would be written through the link {path}")
        if not path.is_dir():
            path.mkdir()

    def _make_directory(self, parts: _Parts, member: tarfile.TarInfo) -> None:
        path = self._path(parts, member)
        self._check_directory(path, member)
        path.chmod((member.mode & 0o755) | 0o700)

    def _create(self, parts: _Parts, member: tarfile.TarInfo) -> BinaryIO:
        path = self._path(parts, member)
        if path.is_symlink() or path.is_file():
            path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        return os.fdopen(os.open(path, flags, 0o600), "wb")

    def _finish(self, parts: _Parts, member: tarfile.TarInfo) -> None:
        path = self._base.joinpath(*parts)
        path.chmod((member.mode & 0o755) | 0o600)
        with suppress(OSError, OverflowError, ValueError):
            os.utime(path, (member.mtime, member.mtime))

    def _copy_link(self, parts: _Parts, member: tarfile.TarInfo) -> None:
        """
        Copy the target of a hard link, because the target may have been replaced since.
        """
        place = self._place(member.linkname, member)
        if place in self._links:
            self._links[parts] = self._links[place]
            return
        source = self._path(place, member)
        if source.is_symlink() or not source.is_file():
            raise self._refuse(
                member, f"is a hard link to {member.linkname!r}, which is not a file"
            )
        self._bytes -= source.stat().st_size
        if self._bytes < 0:
            raise self._refuse(member, "exceeds the size limit of a download")
        if source == self._base.joinpath(*parts):
            return
        with source.open("rb") as content, self._create(parts, member) as file:
            shutil.copyfileobj(content, file)
        shutil.copystat(source, self._base.joinpath(*parts))

    def _make_link(self, parts: _Parts, target: str) -> None:
        member = tarfile.TarInfo("/".join((self._top or "", *parts)))
        if not 0 < len(target) <= _LINK_LENGTH or "\0" in target or self._escapes(parts, target):
            raise self._refuse(member, f"is a link to {target!r}, which leads out of the directory")
        path = self._path(parts, member)
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.symlink_to(target)

    def _escapes(self, parts: _Parts, target: str) -> bool:
        """
        Check whether a link leads outside, directly or through other links of the archive.
        """
        if target.startswith("/"):
            return True
        here = list(parts[:-1])
        todo = target.split("/")
        followed = 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    return True
                here.pop()
                continue
            further = self._links.get((*here, part))
            if further is None:
                here.append(part)
            elif further.startswith("/"):
                return True
            elif followed == _LINKS_FOLLOWED:
                return False  # No system follows more links than this.
            else:
                followed += 1
                todo = further.split("/") + todo
        return False

    def _refuse(self, member: tarfile.TarInfo, why: str) -> TransferError:
        return TransferError(
            f"download to {self._to}: {member.name[:500]!r} {why}. Download the files you need one "
            "by one, or pack them into an archive inside the workspace and download that"
        )


class _BoundedHeader(tarfile.TarInfo):
    """
    A header with a limit on the size of its extension, which is read into memory.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _BoundedHeader:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED and header.size > _HEADER_LIMIT:
            raise tarfile.ReadError(f"an extended header of {header.size} bytes")
        return header


class _Pieces(io.RawIOBase):
    """
    A readable file made of pieces of bytes.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
