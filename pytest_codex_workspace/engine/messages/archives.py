"""Tar archives as engines read them."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_padding"]

_BLOCK = tarfile.BLOCKSIZE

_PIECE = 256 * 1024
"""Bytes passed on at a time."""

_HEADER_ONLY = frozenset(
    {
        tarfile.LNKTYPE,
        tarfile.SYMTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
    }
)
"""Kinds of entries that no content follows, whatever size they state."""

_SIZE = re.compile(rb"^\d+ size=(\d+)$", re.MULTILINE)
"""The size of the next entry in an extended header, for files of 8 GiB and more (POSIX pax)."""


def without_padding(archive: BinaryIO) -> Iterator[bytes]:
    """
    Yield a tar up to and with the two empty blocks that end it, and read the rest.

    What writes a tar fills its last record, often of 10,240 bytes. An engine may stop reading at
    the end of the archive, and fail because it could not pass the filling on:
    https://github.com/containers/buildah/issues/6573

    Args:
        archive: the archive. What is no archive passes as it is.
    """
    waiting = bytearray()
    empty = 0
    size: int | None = None
    while empty < 2 and (block := _read(archive, _BLOCK)):
        waiting += block
        if not any(block):
            empty += 1
            continue
        empty = 0
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            break
        left = 0 if entry.type in _HEADER_ONLY else entry.size if size is None else size
        left = max(0, left + -left % _BLOCK)
        size = None
        if entry.type == tarfile.XHDTYPE and left <= _PIECE:
            extended = _read(archive, left)
            waiting += extended
            size = int(found[1]) if (found := _SIZE.search(extended)) else None
            continue
        while left and (piece := archive.read(min(left, _PIECE))):
            left -= len(piece)
            waiting += piece
            if len(waiting) >= _PIECE:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting)
    while piece := archive.read(_PIECE):
        if empty < 2:
            yield piece


def _read(file: BinaryIO, size: int) -> bytes:
    """
    Read *size* bytes, less only at the end of *file*.
    """
    data = file.read(size)
    while 0 < len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data
