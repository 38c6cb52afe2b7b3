"""Files as archives. The tests of layers run where whiteouts can be made: as root."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.runner.archives import (
    pack_files,
    pack_layer,
    unpack_files,
    unpack_layer,
)

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a whiteout is a device: root makes it")


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for member, data in members:
            member.size, member.uid, member.gid = len(data), os.getuid(), os.getgid()
            tar.addfile(member, io.BytesIO(data))
    output.seek(0)
    return output


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o750
    return made


def test_files_come_back_as_they_were(tmp_path: Path):
    """
    With links, modes, times in nanoseconds and attributes.
    """
    old = tmp_path / "old"
    (old / "sub").mkdir(parents=True)
    (old / "sub/file").write_bytes(b"x" * 3_000_000)
    (old / "sub/file").chmod(0o4711)
    os.link(old / "sub/file", old / "sub/same")
    (old / "link").symlink_to("/nowhere")
    os.mkfifo(old / "pipe")
    os.setxattr(old / "sub/file", "user.bytes", b"\x00\xff\n=")
    os.utime(old / "sub/file", ns=(1, 1_234_567_890_123_456_789))
    output = io.BytesIO()

    pack_files(str(old), output)
    output.seek(0)
    unpack_files(output, str(tmp_path / "new"))

    new = tmp_path / "new/old"
    state = (new / "sub/file").stat()
    assert (old / "sub/file").read_bytes() == (new / "sub/file").read_bytes()
    assert 1_234_567_890_123_456_789 == state.st_mtime_ns
    assert (0o4711, 2) == (stat.S_IMODE(state.st_mode), state.st_nlink)
    assert "/nowhere" == str((new / "link").readlink())
    assert stat.S_ISFIFO((new / "pipe").lstat().st_mode)
    assert b"\x00\xff\n=" == os.getxattr(new / "sub/file", "user.bytes")


def test_a_member_replaces_what_is_there(tmp_path: Path):
    """
    But a link to a directory stays where a directory comes.
    """
    (tmp_path / "real").mkdir()
    (tmp_path / "dir").symlink_to("real")
    (tmp_path / "tree/below").mkdir(parents=True)

    unpack_files(
        tar_of(
            (member("dir", tarfile.DIRTYPE), b""),
            (member("dir/file"), b"1"),
            (member("tree"), b"2"),
            (member("tree"), b"3"),
        ),
        str(tmp_path),
    )

    assert b"1" == (tmp_path / "real/file").read_bytes()
    assert b"3" == (tmp_path / "tree").read_bytes()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_no_name_leads_out(tmp_path: Path, name: str):
    """
    A name that goes up stays below the directory.
    """
    (tmp_path / "in").mkdir()

    unpack_files(tar_of((member(name), b"1")), str(tmp_path / "in"))

    assert not (tmp_path / "out").exists()
    assert [b"1"] == [one.read_bytes() for one in (tmp_path / "in").rglob("out")]


@ROOT
def test_a_layer_removes_as_other_engines_write_it(tmp_path: Path):
    """
    Whiteouts and opaque directories have overlayfs's form on the disk, and OCI's in an archive.
    """
    layer = tmp_path / "layer"
    layer.mkdir()
    archive = tar_of(
        (member("dir", tarfile.DIRTYPE), b""),
        (member("dir/.wh..wh..opq"), b""),
        (member("dir/new"), b"1"),
        (member(".wh.gone"), b""),
    )

    unpack_layer(archive, str(layer))
    output = io.BytesIO()
    pack_layer(str(layer), output)

    state = (layer / "gone").lstat()
    assert (True, 0) == (stat.S_ISCHR(state.st_mode), state.st_rdev)
    assert b"y" == os.getxattr(layer / "dir", "trusted.overlay.opaque")
    output.seek(0)
    with tarfile.open(fileobj=output) as tar:
        assert ["dir", "dir/.wh..wh..opq", "dir/new", ".wh.gone"] == tar.getnames()


def test_an_owner_without_a_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    A user namespace has 65,537 numbers, and an image may have files of others.
    """

    def refuse(path: str, user: int, group: int, *, follow_symlinks: bool) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "chown", refuse)
    archive = tar_of((member("file"), b""))

    with pytest.raises(OSError, match=f"the owner {os.getuid()}:{os.getgid()} of .*/file is none"):
        unpack_layer(archive, str(tmp_path))


def test_in_a_user_namespace_overlayfs_has_attributes_of_users(tmp_path: Path):
    """
    What hides a directory below is kept with another name there, and in an archive with the same.
    """
    archive = tar_of((member("sub", tarfile.DIRTYPE), b""), (member("sub/.wh..wh..opq"), b""))
    output = io.BytesIO()

    unpack_layer(archive, str(tmp_path), mapped=True)
    pack_layer(str(tmp_path), output, mapped=True)

    assert ["user.overlay.opaque"] == os.listxattr(tmp_path / "sub")
    output.seek(0)
    with tarfile.open(fileobj=output) as tar:
        assert ["sub", "sub/.wh..wh..opq"] == tar.getnames()


def test_a_device_node_is_left_out_where_none_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    The rest of the layer is there.
    """

    def refuse(path: str, mode: int, device: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refuse)
    archive = tar_of((member("disk", tarfile.BLKTYPE), b""), (member("file"), b""))

    unpack_layer(archive, str(tmp_path), mapped=True)

    assert ["file"] == [one.name for one in tmp_path.iterdir()]
