"""The file system of a container: layers, and what the kernel shows below /proc, /sys and /dev."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from typing import TYPE_CHECKING

from .system import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    is_mapped,
    mount,
    pivot_root,
    unmount,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .cgroups import Cgroup

__all__ = [
    "change_root",
    "hide_from_host",
    "mount_groups",
    "mount_kernel",
    "mount_layers",
    "open_devices",
    "open_system",
]

_SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""What Docker hides."""

_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_SYSTEM = ("block", "bus", "class", "dev", "devices")
"""What programs look for below /sys."""

_UNCHANGED = "index=off,metacopy=off,xino=off"
_UNMOVED = {False: "redirect_dir=off", True: "redirect_dir=nofollow,userxattr"}
"""Nothing in an upper directory depends on the layers below it but by its path. In a user namespace
it has attributes of users."""


def hide_from_host() -> None:
    """
    Let nothing that is mounted in this namespace appear in another.

    Raises:
        OSError: the kernel refused.
    """
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def mount_layers(
    layers: str, names: Sequence[str], container: str, *, writable: bool = True
) -> str:
    """
    Mount the layers of a container, and return where.

    Args:
        layers: the directory of all layers. It becomes the working directory: the kernel takes one
            page of text, which short paths have to fit into.
        names: the directories of the layers, the lowest first.
        container: the directory of the container.
        writable: whether files can be changed, which its directory `upper` gets.

    Raises:
        OSError: the kernel refused.
    """
    if writable:
        # The kernel refuses what is left of a mount that was not forced to the disk.
        shutil.rmtree(f"{container}/work", ignore_errors=True)
        os.mkdir(f"{container}/work")
    os.chdir(layers)
    target = f"{container}/merged"
    # nodev: a device node that a program makes opens nothing.
    flags = MS_NODEV if writable else MS_NODEV | MS_RDONLY
    lower = ":".join(reversed(names))
    if not writable and len(names) == 1:
        mount(lower, target, None, MS_BIND)
        return target
    # volatile: nothing is forced to the disk when a container ends.
    data = f"lowerdir={lower},{_UNCHANGED},{_UNMOVED[is_mapped()]}"
    if writable:
        data += f",upperdir={container}/upper,workdir={container}/work,volatile"
    mount("overlay", target, "overlay", flags, data)
    return target


def change_root(root: str) -> None:
    """
    Make *root* the root. The old one stays mounted at the working directory, until it is detached.

    Raises:
        OSError: the kernel refused.
    """
    os.chdir(root)
    pivot_root(".", ".")


def open_devices() -> dict[str, int]:
    """
    Return descriptors of the device nodes of the host that a container has, by their names.

    Raises:
        OSError: one is missing.
    """
    return {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in _DEVICES}


def open_system() -> dict[str, int]:
    """
    Return descriptors of directories of the machine's `/sys`, by their names.

    A container that is in the machine's network, but in another user namespace than that, can have
    no `/sys` of its own.
    """
    found = {}
    for name in _SYSTEM:
        with contextlib.suppress(OSError):
            found[name] = os.open(f"/sys/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return found


def mount_kernel(
    devices: Mapping[str, int],
    files: Mapping[str, int],
    system: Mapping[str, int],
) -> None:
    """
    Mount what every container has, in its new root, and detach the old one.

    Args:
        devices: what `open_devices` has returned.
        files: descriptors of files of the container's own, by the path where they appear.
        system: what `open_system` has returned.

    Raises:
        OSError: the kernel refused.
    """
    for path in ("/proc", "/sys", "/dev"):
        _directory(path)
    mount("proc", "/proc", "proc", _SAFE)
    if system:
        _show_system(system)
    else:
        mount("sysfs", "/sys", "sysfs", _SAFE | MS_RDONLY)
    _mount_devices(devices)
    for path, descriptor in files.items():
        _place(path)
        # It shows the file of the old root, which must still be there.
        mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND)
    unmount(".")
    os.chdir("/")
    for path in _MASKED:
        _mask(path)
    for path in _READ_ONLY:
        if os.path.lexists(path):
            mount(path, path, None, MS_BIND | MS_REC)
            mount(path, path, None, MS_BIND | MS_REC | MS_REMOUNT | MS_RDONLY | _SAFE)


def mount_groups(groups: Cgroup) -> None:
    """
    Mount the groups of a container, whose limits its programs may read, as far as that is possible.

    Args:
        groups: its groups, in whose namespace this process is.
    """
    place = "/sys/fs/cgroup"
    with contextlib.suppress(OSError):
        if groups.unified and groups.has:
            mount("cgroup2", place, "cgroup2", _SAFE | MS_RDONLY)
            return
        mount("tmpfs", place, "tmpfs", _SAFE, "mode=755,size=64k")
        for kind in sorted(groups.has - {"freezer"}):
            os.mkdir(f"{place}/{kind}")
            mount("cgroup", f"{place}/{kind}", "cgroup", _SAFE | MS_RDONLY, kind)
        mount("none", place, None, MS_REMOUNT | MS_RDONLY | MS_BIND | _SAFE)


def _show_system(system: Mapping[str, int]) -> None:
    mount("tmpfs", "/sys", "tmpfs", _SAFE, "mode=755,size=64k")
    for name, descriptor in system.items():
        os.mkdir(f"/sys/{name}")
        mount(f"/proc/self/fd/{descriptor}", f"/sys/{name}", None, MS_BIND | MS_REC)
        mount("none", f"/sys/{name}", None, MS_BIND | MS_REMOUNT | MS_RDONLY | _SAFE)
    os.makedirs("/sys/fs/cgroup")
    mount("none", "/sys", None, MS_BIND | MS_REMOUNT | MS_RDONLY | _SAFE)


def _mount_devices(nodes: Mapping[str, int]) -> None:
    # Each is mounted alone: no other node works here.
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=65536k")
    for name, descriptor in nodes.items():
        # In a listing, which shows what is below, it is a device, too. Anybody may make this one.
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(0, 0))
        mount(f"/proc/self/fd/{descriptor}", f"/dev/{name}", None, MS_BIND)
        # Data can be written to it nevertheless, but its owner and mode are the machine's.
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC
        mount("none", f"/dev/{name}", None, flags)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"/dev/{name}")
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    mount("shm", "/dev/shm", "tmpfs", _SAFE, "mode=1777,size=65536k")
    with contextlib.suppress(OSError):
        mount("mqueue", "/dev/mqueue", "mqueue", _SAFE)
    for name, target in _LINKS.items():
        os.symlink(target, f"/dev/{name}")


def _directory(path: str) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.makedirs(path, 0o755)


def _place(path: str) -> None:
    """
    Make sure that there is a file on which another can be mounted. Links lead to places of the
    container, whose root this is.
    """
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    if not os.path.exists(path):
        # A link into nothing.
        os.unlink(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _mask(path: str) -> None:
    try:
        is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return
    if is_directory:
        mount("tmpfs", path, "tmpfs", _SAFE | MS_RDONLY, "size=0")
    else:
        mount("/dev/null", path, None, MS_BIND)
