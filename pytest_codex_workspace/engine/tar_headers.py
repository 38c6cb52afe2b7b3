"""Headers of tar archives that cannot fill the memory, nor a disk. Standard library only."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["bounded_header"]

_EXTENDED = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
"""Kinds of headers whose content `tarfile` reads into memory."""


def bounded_header(limit: int, refused: Container[bytes] = ()) -> type[tarfile.TarInfo]:
    """
    Return a class of headers for `tarfile.open(tarinfo=...)`. It is not enough to bound what is
    read at once: newer versions of Python read a long header in pieces. The map of a file with
    holes may go on without end, and stand for any size; no engine writes one, so none is read.

    Args:
        limit: the most bytes that a header may have as its content.
        refused: kinds of headers that may not be there.

    Returns:
        The class; a header that may not be raises `tarfile.ReadError`.
    """

    class BoundedHeader(tarfile.TarInfo):
        def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
            # `tarfile` says that this may be overridden; `frombuf` is not called in newer versions.
            if self.type in _EXTENDED and self.size > limit:
                raise tarfile.ReadError("one of its headers is too long")
            if self.type == tarfile.GNUTYPE_SPARSE or self.type in refused:
                raise tarfile.ReadError(f"it has a header of type {self.type!r}")
            return super()._proc_member(archive)  # type: ignore[misc,no-any-return]

        def _refuse_map(self, *_: object) -> None:
            raise tarfile.ReadError("it has a map of a file with holes")

        # The same map, in an extended header, and in front of the content.
        _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_map

    return BoundedHeader
