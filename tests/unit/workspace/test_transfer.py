"""Tests of the archives of uploads, and of untrusted archives of downloads."""

from __future__ import annotations

import contextlib
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
    "a link in place of what was asked for": [("l", LINK, "x")],
    "a way back from nowhere": [("d/a/l", LINK, "ghost/../../x")],
    "links that lead out together": [("d/a/b/c", LINK, "../.."), ("d/l", LINK, "a/b/c/../x")],
    "an empty link": [("d/l", LINK, "")],
    "a hard link to elsewhere": [("d/l", HARD, "/etc/passwd")],
    "a hard link to a link": [("d/x/s", LINK, "../f"), ("d", HARD, "d/x/s")],
    "a hard link to nothing": [("d/l", HARD, "d/nothing")],
    "a name that is no path": [("d/" + "x/" * 3000 + "f", FILE, "x")],
    "a link that is no path": [("d/l", LINK, "x/" * 3000)],
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
        assert repr(members[-1][0])[:500] in str(caught.value)


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


TWO_DOWNLOADS = {
    "what did not exist is a link": (
        [("d/a/l", LINK, "ghost/../../x")],
        [("d/a/ghost", LINK, "..")],
    ),
    "a link is replaced": (
        [("d/p/q", DIRECTORY, ""), ("d/s", LINK, "p/q"), ("d/l", LINK, "s/../../x")],
        [("d/s", LINK, "p")],
    ),
    "a directory of the first is the way": (
        [("d/a/b", DIRECTORY, ""), ("d/a/l", LINK, "b/../../x")],
        [("d/a/b", LINK, "..")],
    ),
    "the second goes through the first": (
        [("d/a/up", LINK, "..")],
        [("d/l", LINK, "a/up/../x")],
    ),
    "a file through a link": ([("d/s", LINK, "t")], [("d/s/f", FILE, "x")]),
}


@pytest.mark.parametrize("downloads", TWO_DOWNLOADS.values(), ids=TWO_DOWNLOADS)
def test_two_downloads_together_do_not_lead_outside(tmp_path, downloads):
    """
    Each archive alone looks harmless. Whatever is refused, no link reaches another file.
    """
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "x").write_text("of the host")
    (inside / "x").write_text("of the host")

    for members in downloads:
        with contextlib.suppress(CodexWorkspaceError, OSError):
            unpack(_tar(*members), inside)

    top = (inside / "d").resolve()
    for path in (inside / "d").rglob("*"):
        assert path.resolve().is_relative_to(top)
        assert not (path.is_file() and "host" in path.read_text())


def test_a_link_through_a_link_of_somebody_else_is_refused(tmp_path):
    """
    The user's own link may lead anywhere; a downloaded one may not use it.
    """
    (tmp_path / "d").mkdir()
    (tmp_path / "d/mine").symlink_to("/etc")
    (tmp_path / "d/near").symlink_to("sub")
    (tmp_path / "d/sub").mkdir()

    unpack(_tar(("d/fine", LINK, "near/file")), tmp_path)
    with pytest.raises(CodexWorkspaceError, match="leads out"):
        unpack(_tar(("d/l", LINK, "near/../mine/passwd")), tmp_path)
    with pytest.raises(CodexWorkspaceError, match="leads out"):
        unpack(_tar(("d/l", LINK, "mine/passwd")), tmp_path)

    assert (tmp_path / "d/fine").readlink() == Path("near/file")
    assert not (tmp_path / "d/l").is_symlink()


def test_a_hard_link_copies_files_of_its_own_download_only(tmp_path):
    """
    What lay there before is not the workspace's.
    """
    (tmp_path / "d").mkdir()
    (tmp_path / "d/secret").write_text("of the host")

    with pytest.raises(CodexWorkspaceError, match="not a file of this download"):
        unpack(_tar(("d/l", HARD, "d/secret")), tmp_path)


def test_links_have_a_limit(tmp_path, monkeypatch):
    """
    They are kept until the end, so their number and length are bounded.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.transfer._LINKS_LIMIT", 5000)
    links = [(f"d/{number}", LINK, "x" * 300) for number in range(20)]

    with pytest.raises(CodexWorkspaceError, match="one link more"):
        unpack(_tar(*links), tmp_path)


ENDLESS = {
    "global headers": (tarfile.XGLTYPE, b"9 a=bcde\n"),
    "sparse maps": (tarfile.GNUTYPE_SPARSE, b""),
    "extensions of extensions": (tarfile.XHDTYPE, b"9 a=bcde\n"),
}


@pytest.mark.parametrize(("kind", "data"), ENDLESS.values(), ids=ENDLESS)
def test_headers_without_end_are_refused(tmp_path, kind, data):
    """
    A parser would keep them, or call itself for each.
    """
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, len(data)
    block = header.tobuf() + data.ljust(512, b"\0")[: 512 if data else 0]

    with pytest.raises(CodexWorkspaceError, match="damaged"):
        unpack((block for _ in range(1 << 20)), tmp_path)


def test_a_download_has_limits(tmp_path):
    """
    Bytes and members are limited.
    """
    members = [("d/a", FILE, "x" * 100), ("d/b", FILE, "x" * 100)]

    with pytest.raises(CodexWorkspaceError, match=r"'d/b'.*limit"):
        unpack(_tar(*members), tmp_path, max_bytes=150)
    with pytest.raises(CodexWorkspaceError, match=r"'d/b'.*limit"):
        unpack(_tar(*members), tmp_path, max_members=1)


def test_directories_have_a_limit(tmp_path):
    """
    With the standard library, nobody could remove them, or pack them for another workspace.
    """
    unpack(_tar(("d/" + "n/" * 254 + "f", FILE, "")), tmp_path / "as-deep-as-possible")
    with pack(tmp_path / "as-deep-as-possible", "name") as file:
        assert file.read(1)

    with pytest.raises(CodexWorkspaceError, match="lies in too many directories"):
        unpack(_tar(("d/" + "n/" * 255 + "f", FILE, "")), tmp_path / "deeper")


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
