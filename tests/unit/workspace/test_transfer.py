"""Tests of the archives of uploads, and of untrusted archives of downloads."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import CodexWorkspaceError
from pytest_codex_workspace.workspace.transfer import pack, unpack

FILE, LINK, HARD, DIRECTORY = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def _tar(*members: tuple[str, bytes, str], mode: int = 0o644) -> Iterator[bytes]:
    """
    Return an archive of (name, type, content or target) in small pieces.
    """
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.mode = 0o755 if kind == DIRECTORY else mode
            if kind == FILE:
                member.size = len(content)
            else:
                member.linkname = content
            archive.addfile(member, io.BytesIO(content.encode()))
    data = file.getvalue()
    return (data[start : start + 700] for start in range(0, len(data), 700))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """
    A directory with a program, a link, an unusual name and a FIFO.
    """
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "run").write_text("#!/bin/sh\n")
    (source / "sub" / "run").chmod(0o755)
    (source / "link").symlink_to("sub/run")
    Path(os.fsdecode(os.fsencode(source) + b"/n\xff")).write_text("odd")
    os.mkfifo(source / "fifo")
    return source


def test_pack_keeps_modes_and_links_but_no_owner(tree):
    """
    Everything belongs to root and is sorted. The FIFO is left out.
    """
    with pack(tree, "name") as file, tarfile.open(fileobj=file) as archive:
        members = archive.getmembers()

    assert [member.name for member in members] == [
        "name",
        "name/link",
        "name/n\udcff",
        "name/sub",
        "name/sub/run",
    ]
    assert {(one.uid, one.gid, one.uname, one.gname) for one in members} == {(0, 0, "", "")}
    assert members[1].linkname == "sub/run"
    assert members[4].mode == 0o755


def test_pack_follows_a_link_that_is_given(tree):
    """
    The user means the target of the link.
    """
    with pack(tree / "link", "run") as file, tarfile.open(fileobj=file) as archive:
        assert archive.getmember("run").isreg()


def test_packing_a_missing_file_is_an_error(tmp_path):
    """
    The error names the file.
    """
    with pytest.raises(FileNotFoundError, match="nothing"):
        pack(tmp_path / "nothing", "x")


def test_unpack_creates_the_target(tree, tmp_path):
    """
    The content is the same as before packing.
    """
    with pack(tree, "name") as file:
        unpack(iter(lambda: file.read(100), b""), tmp_path / "back")

    back = tmp_path / "back"
    assert sorted(path.name for path in back.iterdir()) == ["link", "n\udcff", "sub"]
    assert (back / "link").readlink() == Path("sub/run")
    assert (back / "link").read_text() == "#!/bin/sh\n"
    assert (back / "sub/run").stat().st_mode & 0o777 == 0o755


def test_unpack_goes_into_a_directory(tmp_path):
    """
    Existing files are replaced, as with `cp -r`.
    """
    for content in ("old", "new"):
        unpack(_tar(("name", DIRECTORY, ""), ("name/f", FILE, content)), tmp_path)

    assert (tmp_path / "name" / "f").read_text() == "new"
    unpack(_tar(("f", FILE, "single")), tmp_path)
    assert (tmp_path / "f").read_text() == "single"
    unpack(_tar(("f", FILE, "renamed")), tmp_path / "g")
    assert (tmp_path / "g").read_text() == "renamed"


def test_hard_links_become_copies(tmp_path):
    """
    Their targets are files in the same archive.
    """
    unpack(_tar(("d/a", FILE, "x"), ("d/b", HARD, "d/a")), tmp_path)

    assert (tmp_path / "d/b").read_text() == "x"
    assert (tmp_path / "d/b").stat().st_nlink == 1


def test_dangerous_modes_are_dropped(tmp_path):
    """
    Files are not setuid, and others cannot write. The owner can always read.
    """
    unpack(_tar(("f", FILE, "x"), mode=0o6777), tmp_path)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o755
    unpack(_tar(("f", FILE, "x"), mode=0), tmp_path)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o600


def test_links_that_stay_inside_are_kept(tmp_path):
    """
    They may lead upwards, through other links, to nothing, or in a circle.
    """
    unpack(
        _tar(
            ("d/a/up", LINK, "../f"),
            ("d/f", FILE, "x"),
            ("d/through", LINK, "a/up"),
            ("d/dangling", LINK, "nowhere"),
            ("d/circle", LINK, "circle"),
        ),
        tmp_path,
    )

    assert (tmp_path / "d/a/up").read_text() == "x"
    assert (tmp_path / "d/through").read_text() == "x"
    assert (tmp_path / "d/dangling").is_symlink()


ATTACKS = {
    "an absolute name": [("/etc/x", FILE, "x")],
    "a name that leads up": [("d/../../x", FILE, "x")],
    "another top": [("d/a", FILE, "x"), ("e", FILE, "x")],
    "an absolute link": [("d/l", LINK, "/etc/passwd")],
    "a link that leads up": [("d/a/l", LINK, "../../x")],
    "a link out of the top": [("l", LINK, "x/../..")],
    "links that lead out together": [("d/a/b/c", LINK, "../.."), ("d/l", LINK, "a/b/c/../x")],
    "an empty link": [("d/l", LINK, "")],
    "a hard link to elsewhere": [("d/l", HARD, "/etc/passwd")],
    "a hard link to a link": [("d/x/s", LINK, "../f"), ("d", HARD, "d/x/s")],
    "a hard link to nothing": [("d/l", HARD, "d/nothing")],
    "a device": [("d/dev", tarfile.CHRTYPE, "")],
    "a fifo": [("d/fifo", tarfile.FIFOTYPE, "")],
    "nothing": [],
}


@pytest.mark.parametrize("members", ATTACKS.values(), ids=ATTACKS)
def test_members_that_lead_outside_are_refused(tmp_path, members):
    """
    Nothing is created outside, and the error names the member.
    """
    (tmp_path / "inside").mkdir()
    with pytest.raises(CodexWorkspaceError) as caught:
        unpack(_tar(*members), tmp_path / "inside")

    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    if members:
        assert repr(members[-1][0]) in str(caught.value)


def test_nothing_is_written_through_a_link(tmp_path):
    """
    This holds for links of the archive and for existing links.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = tmp_path / "inside"
    (inside / "d").mkdir(parents=True)
    (inside / "d" / "old").symlink_to(outside)

    with pytest.raises(CodexWorkspaceError, match="through the link"):
        unpack(_tar(("d/old/f", FILE, "x")), inside)
    with pytest.raises((CodexWorkspaceError, OSError)):
        unpack(_tar(("d/l", LINK, str(outside)), ("d/l/f", FILE, "x")), inside)
    (inside / "d" / "file").symlink_to(outside / "file")
    unpack(_tar(("d/file", FILE, "x")), inside)

    assert list(outside.iterdir()) == []
    assert not (inside / "d" / "file").is_symlink()


def test_a_download_has_limits(tmp_path):
    """
    Bytes and members are limited.
    """
    members = [("d/a", FILE, "x" * 100), ("d/b", FILE, "x" * 100)]

    with pytest.raises(CodexWorkspaceError, match=r"'d/b'.*limit"):
        unpack(_tar(*members), tmp_path, max_bytes=150)
    with pytest.raises(CodexWorkspaceError, match=r"'d/b'.*limit"):
        unpack(_tar(*members), tmp_path, max_members=1)


def test_a_large_header_is_refused(tmp_path):
    """
    A name of 1 GB is announced, and not read into memory.
    """
    header = tarfile.TarInfo("x")
    header.type = tarfile.GNUTYPE_LONGNAME
    header.size = 1 << 30

    with pytest.raises(CodexWorkspaceError, match="damaged"):
        unpack([header.tobuf()], tmp_path)


@pytest.mark.parametrize("data", [b"", b"garbage" * 200, b"\0" * 100])
def test_a_download_that_is_not_an_archive_is_refused(tmp_path, data):
    """
    The error calls it damaged or empty.
    """
    with pytest.raises(CodexWorkspaceError, match=r"damaged|empty"):
        unpack([data], tmp_path)


def test_a_truncated_archive_is_refused(tmp_path):
    """
    A part of a file is not enough.
    """
    data = b"".join(_tar(("f", FILE, "x" * 5000)))[:2000]

    with pytest.raises(CodexWorkspaceError, match="damaged"):
        unpack([data], tmp_path)
