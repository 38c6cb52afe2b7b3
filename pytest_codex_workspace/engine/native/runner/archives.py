"""Files as tar archives, in a root that this process has changed into.

Owners are numbers, and nothing is loaded or looked up: the files here are those of a container.
Layers have the form of OCI images in archives, and that of overlayfs on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tarfile
from decimal import Decimal
from typing import IO, TYPE_CHECKING

from ...tar_headers import bounded_header

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pack_files", "pack_layer", "unpack_files", "unpack_layer"]

_XATTR = "SCHILY.xattr."
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_OVERLAY = ("trusted.overlay.", "user.overlay.")
"""How the attributes begin that overlayfs sets: as root of the machine, and in a user namespace."""

_LONGEST_HEADER = 1 << 20
"""Bytes of the names and attributes of one file: Linux has at most 64 kB for an attribute."""

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def unpack_files(archive: IO[bytes], base: str) -> None:
    """
    Unpack a tar below the directory *base*.

    Raises:
        OSError: a file cannot be written.
        tarfile.TarError: it is no tar.
    """
    _unpack(archive, base, layer=False)


def unpack_layer(archive: IO[bytes], base: str, *, mapped: bool = False) -> None:
    """
    Unpack the tar of a layer into *base*, an empty directory.

    Args:
        archive: the tar.
        base: the directory.
        mapped: whether overlayfs is that of a user namespace. Device nodes, which work in no
            container, are left out there.

    Raises:
        OSError: a file cannot be written.
        tarfile.TarError: it is no tar.
    """
    _unpack(archive, base, layer=True, mapped=mapped)


def _unpack(archive: IO[bytes], base: str, *, layer: bool, mapped: bool = False) -> None:
    directories: list[tuple[str, tarfile.TarInfo]] = []
    header = bounded_header(_LONGEST_HEADER)
    with tarfile.open(fileobj=archive, mode="r|", bufsize=_PIECE, tarinfo=header) as tar:
        for member in tar:
            parts = [one for one in member.name.split("/") if one not in ("", ".", "..")]
            path = "/".join([base.rstrip("/"), *parts])
            above, _, name = path.rpartition("/")
            if layer and name.startswith(_WHITEOUT):
                _unpack_whiteout(above or "/", name, _OVERLAY[mapped])
                continue
            if not parts:
                if not member.isdir():
                    continue
                path = base
            else:
                if not os.path.lexists(above or "/"):
                    os.makedirs(above, 0o755)
                _make_room(path, member)
            _write(tar, member, path, base)
            if member.isdir():
                directories.append((path, member))
        # Later members change the times of what they are in.
        for path, member in reversed(directories):
            _set_times(path, member)


def _unpack_whiteout(above: str, name: str, overlay: str) -> None:
    os.makedirs(above, 0o755, exist_ok=True)
    if name == _OPAQUE:
        os.setxattr(above, f"{overlay}opaque", b"y")
        return
    path = f"{above}/{name[len(_WHITEOUT) :]}"
    if not os.path.lexists(path):
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _make_room(path: str, member: tarfile.TarInfo) -> None:
    try:
        state = os.lstat(path)
    except OSError:
        return
    if stat.S_ISDIR(state.st_mode):
        if member.isdir():
            return
        shutil.rmtree(path)
    elif not (member.isdir() and os.path.isdir(path)):
        # Docker keeps a link to a directory in place of a directory.
        os.unlink(path)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, base: str) -> None:
    device = os.makedev(member.devmajor, member.devminor)
    if member.isdir():
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        parts = [one for one in member.linkname.split("/") if one not in ("", ".", "..")]
        os.link("/".join([base.rstrip("/"), *parts]), path, follow_symlinks=False)
        return
    elif member.isfifo():
        os.mkfifo(path, 0o600)
    elif member.ischr() or member.isblk():
        try:
            os.mknod(path, (stat.S_IFCHR if member.ischr() else stat.S_IFBLK) | 0o600, device)
        except PermissionError:
            # No user namespace has any.
            return
    elif member.isreg():
        _write_file(tar, member, path)
    else:
        return
    try:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        owner = f"{member.uid}:{member.gid}"
        words = f"the owner {owner} of {path} is none of the numbers that users have here"
        raise OSError(errno.EINVAL, words) from None
    if not member.issym():
        os.chmod(path, member.mode & 0o7777)
    for name, value in member.pax_headers.items():
        if name.startswith(_XATTR) and not name[len(_XATTR) :].startswith(_OVERLAY):
            with contextlib.suppress(OSError):
                data = value.encode("utf-8", "surrogateescape")
                os.setxattr(path, name[len(_XATTR) :], data, follow_symlinks=False)
    if not member.isdir():
        _set_times(path, member)


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = tar.extractfile(member)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        while source is not None and (data := source.read(_PIECE)):
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]


def _set_times(path: str, member: tarfile.TarInfo) -> None:
    text = member.pax_headers.get("mtime")
    try:
        moment = int(Decimal(text) * 10**9) if text else int(member.mtime * 10**9)
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
    except (ArithmeticError, OverflowError, FileNotFoundError):
        return


def pack_files(path: str, output: IO[bytes]) -> None:
    """
    Write a tar of *path*, under its own name.

    Raises:
        OSError: a file cannot be read.
    """
    name = os.path.basename(path.rstrip("/")) or "."
    _pack(path, name, output, layer=False)


def pack_layer(base: str, output: IO[bytes], *, mapped: bool = False) -> None:
    """
    Write the tar of the layer in the directory *base*. The same layer gives the same tar.

    Args:
        base: the directory.
        output: takes the tar.
        mapped: whether overlayfs is that of a user namespace.

    Raises:
        OSError: a file cannot be read.
    """
    _pack(base, "", output, layer=True, mapped=mapped)


def _pack(path: str, name: str, output: IO[bytes], *, layer: bool, mapped: bool = False) -> None:
    links: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_PIECE) as tar:
        tar.copybufsize = _PIECE  # type: ignore[attr-defined]
        for file, member_name, state in _walk(path, name):
            if layer and stat.S_ISCHR(state.st_mode) and not state.st_rdev:
                above, _, last = member_name.rpartition("/")
                tar.addfile(tarfile.TarInfo(f"{above}/{_WHITEOUT}{last}".lstrip("/")))
                continue
            member = _member(file, member_name, state, links)
            if member is None:
                continue
            opaque = f"{_OVERLAY[mapped]}opaque"
            if layer and member.isdir() and _xattr(file, opaque) == b"y":
                _add(tar, member, file)
                tar.addfile(tarfile.TarInfo(f"{member_name}/{_OPAQUE}".lstrip("/")))
                continue
            _add(tar, member, file)


def _walk(path: str, name: str) -> Iterator[tuple[str, str, os.stat_result]]:
    state = os.lstat(path)
    if name:
        yield path, name, state
    if not stat.S_ISDIR(state.st_mode):
        return
    for entry in sorted(os.listdir(path)):
        with contextlib.suppress(FileNotFoundError):
            yield from _walk(f"{path.rstrip('/')}/{entry}", f"{name}/{entry}".lstrip("/"))


def _member(
    path: str, name: str, state: os.stat_result, links: dict[tuple[int, int], str]
) -> tarfile.TarInfo | None:
    kind = _KINDS.get(stat.S_IFMT(state.st_mode))
    if kind is None:
        # A socket.
        return None
    member = tarfile.TarInfo(name)
    member.mode, member.type = stat.S_IMODE(state.st_mode), kind
    member.uid, member.gid = state.st_uid, state.st_gid
    seconds, rest = divmod(state.st_mtime_ns, 10**9)
    member.mtime = seconds
    headers: dict[str, str] = {}
    if rest:
        headers["mtime"] = f"{seconds}.{rest:09d}"
    if kind == tarfile.SYMTYPE:
        member.linkname = os.readlink(path)
    elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        member.devmajor, member.devminor = os.major(state.st_rdev), os.minor(state.st_rdev)
    elif kind == tarfile.REGTYPE:
        member.size = state.st_size
        if state.st_nlink > 1:
            first = links.setdefault((state.st_dev, state.st_ino), name)
            if first != name:
                member.type, member.linkname, member.size = tarfile.LNKTYPE, first, 0
    if member.type != tarfile.LNKTYPE:
        for attribute in _xattrs(path):
            if not attribute.startswith(_OVERLAY):
                value = _xattr(path, attribute) or b""
                headers[_XATTR + attribute] = value.decode("utf-8", "surrogateescape")
    member.pax_headers = headers
    return member


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    if not member.isreg():
        tar.addfile(member)
        return
    # It may have become a pipe meanwhile, which would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        tar.addfile(member, _Padded(file))  # type: ignore[arg-type]


class _Padded:
    """
    A file that may shrink while it is read: what is missing is zeros.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._file.read(size - len(data))
            data += more or _ZEROS[: size - len(data)]
        return data


def _xattrs(path: str) -> list[str]:
    try:
        return sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:
        return []


def _xattr(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None
