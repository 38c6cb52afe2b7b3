"""Tests of archives as engines read them."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.engine.messages.archives import without_padding

END = bytes(1024)


class Trickle(io.RawIOBase):
    """
    A file that is read in small pieces, as a pipe may be.
    """

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 100))


def tar_of(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def entries(data: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isreg() else None
            yield entry.name, entry.type, file.read() if file else b""


@given(
    st.dictionaries(
        st.text("ab\u00e9", min_size=1, max_size=200),
        # Content that looks like the end of an archive is content.
        st.integers(0, 3000).map(bytes) | st.binary(max_size=3000),
        max_size=5,
    ),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_an_archive_ends_at_its_end(files: dict[str, bytes], form: int) -> None:
    """
    Every entry is there, and nothing but the two empty blocks follows.
    """
    whole = tar_of(files, form)

    ended = b"".join(without_padding(Trickle(whole)))

    assert whole.startswith(ended)
    assert not any(whole[len(ended) :])
    assert dict.fromkeys(files) == dict.fromkeys(name for name, _, _ in entries(ended))
    assert files == {name: content for name, _, content in entries(ended)}
    with tarfile.open(fileobj=io.BytesIO(ended)) as tar:
        last = tar.getmembers()[-1:]
    used = last[0].offset_data + -(-last[0].size // 512) * 512 if last else 0
    assert ended[used:] == END


def test_links_and_directories_have_no_content(tmp_path: Path) -> None:
    """
    An archive that GNU tar made of links, a directory and a device keeps every entry.
    """
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(b"x" * 700)
    (tmp_path / "d/hard").hardlink_to(tmp_path / "d/file")
    (tmp_path / "d/soft").symlink_to("file")
    whole = subprocess.run(
        ["tar", "--create", "--directory", str(tmp_path), "d", "-C", "/", "dev/null"],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout

    ended = b"".join(without_padding(io.BytesIO(whole)))

    assert list(entries(whole)) == list(entries(ended))
    assert len(ended) < len(whole)


def test_the_size_of_an_extended_header_counts() -> None:
    """
    As for a file of 8 GiB, whose own header cannot say it.
    """
    content = bytes(5000)
    entry = tarfile.TarInfo("large")
    entry.pax_headers = {"size": str(len(content))}
    # The entry's own header states the size 0.
    whole = entry.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512) + bytes(10240)

    assert b"".join(without_padding(io.BytesIO(whole))) == whole[: -10240 + 1024]


@pytest.mark.parametrize("data", [b"", b"no archive", b"x" * 2000, bytes(100), b"x" * 300_000])
def test_what_is_no_archive_passes_as_it_is(data: bytes) -> None:
    """
    The engine says what is wrong with it.
    """
    assert data == b"".join(without_padding(io.BytesIO(data)))


def test_a_cut_archive_passes_as_it_is() -> None:
    """
    Cut anywhere, nothing is added and nothing is lost.
    """
    whole = tar_of({"a": b"1" * 1000, "b": b"2"})[:3072]

    for length in range(0, len(whole), 100):
        assert whole[:length] == b"".join(without_padding(io.BytesIO(whole[:length])))


def test_what_follows_the_end_is_read() -> None:
    """
    So that what writes the archive does not fail.
    """
    file = io.BytesIO(tar_of({"a": b"1"}) + b"more")

    assert b"".join(without_padding(file)).endswith(END)
    assert file.read() == b""
