"""Tests of headers of tar archives."""

from __future__ import annotations

import io
import tarfile

import pytest

from pytest_codex_workspace.engine.tar_headers import bounded_header


def tar_of(name: str, form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        tar.addfile(tarfile.TarInfo(name))
    return made.getvalue()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_header_cannot_fill_the_memory(form: int) -> None:
    """
    Neither as a whole nor in pieces, as newer versions of Python read it.
    """
    archive = io.BytesIO(tar_of("n" * 5000, form))

    with (
        pytest.raises(tarfile.ReadError, match="one of its headers is too long"),
        tarfile.open(fileobj=archive, tarinfo=bounded_header(5000)) as tar,
    ):
        tar.getmembers()
    archive.seek(0)
    with tarfile.open(fileobj=archive, tarinfo=bounded_header(6000)) as tar:
        assert tar.getnames() == ["n" * 5000]


def test_a_kind_of_header_can_be_refused() -> None:
    """
    Whatever its size.
    """
    archive = io.BytesIO(tar_of("n" * 5000))

    with (
        pytest.raises(tarfile.ReadError, match="it has a header of type b'x'"),
        tarfile.open(fileobj=archive, tarinfo=bounded_header(6000, {tarfile.XHDTYPE})) as tar,
    ):
        tar.getmembers()


def sparse_header() -> bytes:
    """
    Return the header of a file with holes whose map goes on in the next block.
    """
    entry = tarfile.TarInfo("a")
    entry.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extended_sparse_header() -> bytes:
    """
    Return the header of a file with holes, and the beginning of its map, as POSIX tar has it.
    """
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    return entry.tobuf(tarfile.PAX_FORMAT) + b"9999999\n" + b"1\n" * 252


def older_sparse_header(**fields: str) -> bytes:
    """
    Return an empty file that stands for a large one with holes, as older versions of GNU tar have
    it.
    """
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {f"GNU.sparse.{name}": text for name, text in fields.items()}
    return entry.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize(
    ("header", "more"),
    [
        (sparse_header(), b"1\n" * 252 + b"\1".ljust(8, b"\0")),
        (extended_sparse_header(), b"1\n" * 256),
        (older_sparse_header(size="999999999", map="0,0"), b""),
        (older_sparse_header(size="999999999", numblocks="1", offset="0", numbytes="0"), b""),
    ],
)
def test_a_map_without_end_is_not_read(header: bytes, more: bytes) -> None:
    """
    A file of some kilobytes would fill the memory, once it is unpacked.
    """
    archive = io.BytesIO(header + more * 1000)

    with (
        pytest.raises(tarfile.ReadError, match=r"of type b'S'|a file with holes"),
        tarfile.open(fileobj=archive, tarinfo=bounded_header(6000)),
    ):
        pytest.fail("it was read")
    assert archive.tell() <= len(header)
