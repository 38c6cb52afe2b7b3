"""The engine of namespaces, if it works on this machine."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import EngineUnavailable

if TYPE_CHECKING:
    from .engine import NativeEngine

__all__ = ["bad_file_system", "open_engine", "problem_of_machine"]

_SCHEME = "native://"

_MACHINES = ("x86_64", "aarch64")
_NO_UPPER = ("overlay", "nfs", "nfs4", "fuse", "9p", "vfat")
_OLDEST = (5, 14)
"""Linux 5.14 lets a process answer for another's call with a descriptor, and has what is older."""


def open_engine(url: str) -> NativeEngine:
    """
    Return the engine at *url*.

    Raises:
        EngineUnavailable: it does not work on this machine. The text says why.
    """
    if problem := problem_of_machine():
        raise EngineUnavailable(problem)
    from .engine import NativeEngine

    root = Path(url.removeprefix(_SCHEME))
    if not root.is_absolute():
        raise EngineUnavailable(f"{url} names no directory: give native:///DIRECTORY, or native")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineUnavailable(f"{root} cannot be made: {error.strerror}") from None
    if root.stat().st_mode & 0o022:
        raise EngineUnavailable(
            f"others can write to {root}, and so change what runs in workspaces: run "
            f"`chmod go-w {root}`, or give native:///DIRECTORY"
        )
    if root.stat().st_uid != os.geteuid():
        raise EngineUnavailable(
            f"{root} belongs to another user, for whom the numbers of owners in it stand for "
            "others: give native:///DIRECTORY, a directory of your own"
        )
    if kind := bad_file_system(root.resolve(), _read("/proc/self/mounts")):
        raise EngineUnavailable(
            f"{root} lies on {kind}, on which overlayfs cannot write: set XDG_CACHE_HOME, or give "
            "native:///DIRECTORY, to a directory on a disk"
        )
    return NativeEngine(root)


def problem_of_machine(
    system: str = platform.system(),
    machine: str = platform.machine(),
    release: str = platform.release(),
    user: int | None = None,
) -> str:
    """
    Return why the engine cannot work here, with the remedy; empty if nothing is known against it.
    For root, that is all that can be told before the first container.

    Args:
        system: the operating system.
        machine: the architecture.
        release: the release of the kernel.
        user: the number of the user; `None` for this one.
    """
    if system != "Linux":
        return f"the engine native needs Linux, and this is {system}: use Docker or Podman"
    if machine not in _MACHINES:
        return f"the engine native knows no system calls of {machine}: use Docker or Podman"
    if sys.maxsize < 1 << 32:
        return (
            "the engine native needs a Python of 64 bits, for its system calls: install one, or "
            "use Docker or Podman"
        )
    numbers = tuple(int(one) for one in release.split("-")[0].split(".")[:2] if one.isdecimal())
    if numbers < _OLDEST:
        return (
            f"the engine native needs Linux {'.'.join(map(str, _OLDEST))}, and this is {release}: "
            "update the kernel, or use Docker or Podman"
        )
    if (os.geteuid() if user is None else user) != 0:
        # What it takes without root is tried by the engine itself.
        return ""
    if not _has_admin():
        return (
            "this root lacks the capability SYS_ADMIN, as in most containers: run on the machine "
            "itself or in a privileged container, or use Docker or Podman"
        )
    if "overlay" not in _read("/proc/filesystems") and not Path("/sys/module/overlay").exists():
        return "the kernel has no overlayfs: `modprobe overlay`, or use Docker or Podman"
    return ""


def _has_admin() -> bool:
    line = next((one for one in _read("/proc/self/status").splitlines() if "CapEff" in one), "")
    value = line.partition(":")[2].strip()
    return not value or bool(int(value, 16) >> 21 & 1)


def bad_file_system(path: Path, mounts: str) -> str:
    """
    Return the kind of the file system of *path* if no upper directory can be there, else nothing.

    Args:
        path: the directory, without links.
        mounts: what is mounted, as `/proc/self/mounts` has it.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        place = fields[1].rstrip("/")
        if f"{path}/".startswith(f"{place}/") and len(place) >= len(best):
            best, kind = place, fields[2]
    # FUSE's have the name of their program after a dot.
    return kind if kind.partition(".")[0] in _NO_UPPER else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
