"""
Runs a command as a user without root, who exists for that command only.

    python -m tests.helpers.unprivileged HOME STORE COMMAND...

It takes root, and a mount namespace of its own: files of the machine that name users have one more
there, and what the command needs can be reached, whatever the modes above it. HOME, an empty
directory, becomes the user's. STORE is a directory of the native engine, or empty: its images are
in `HOME/native` as well, with the user's numbers in place of root's, and are not copied. That takes
Linux 5.19.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from pytest_codex_workspace.engine.native.runner.kernel.mounts import hide_from_host
from pytest_codex_workspace.engine.native.runner.kernel.system import (
    MS_BIND,
    NEW_NS,
    NEW_USER,
    mount,
    unshare,
)
from pytest_codex_workspace.host.dirs import data_dir

__all__ = ["NAME", "as_user"]

ROOT = Path(__file__).parents[2]
NAME = "codex-tester"

_USER, _FIRST, _COUNT = 54_321, 3_000_000_000, 65_536
_IDS = f"0 {_USER} 1\n1 {_FIRST} {_COUNT}\n"

_LINES = {
    "passwd": f"{NAME}:x:{_USER}:{_USER}::{{home}}:/bin/sh\n",
    "group": f"{NAME}:x:{_USER}:\n",
    "subuid": f"{NAME}:{_FIRST}:{_COUNT}\n",
    "subgid": f"{NAME}:{_FIRST}:{_COUNT}\n",
}

_IMAGES = (
    "codex-workspace-emulator-",
    "codex-workspace-emulator:latest",
    "codex-workspace-emulator:base-",
)
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_CLONE, _EMPTY_PATH, _MOVE_EMPTY_PATH, _MAPPED = 1, 0x1000, 4, 0x100000
"""Flags; the last gives a mount other ids than its file system has."""


def as_user(home: Path, command: Iterable[str], *, store: str = "") -> list[str]:
    """
    Return the command line that runs *command* as the user.
    """
    return [sys.executable, "-m", __name__, str(home), store, *command]


def main(home: Path, store: str, command: list[str]) -> None:
    """
    Become the user, and the command.
    """
    for name in ("cache", "tmp", "etc", "native"):
        (home / name).mkdir()
    # With the authority whose certificate the images have.
    shutil.copytree(data_dir(), home / "data" / data_dir().name)
    layers = _images_for(home / "native", Path(store)) if store else {}
    for name, line in _LINES.items():
        text = (Path("/etc") / name).read_text() + line.format(home=home)
        (home / "etc" / name).write_text(text)
    unshare(NEW_NS)
    hide_from_host()
    mapped = _mapped(layers)
    _reach([home, ROOT, Path(sys.prefix), Path(sys.base_prefix)])
    for name in _LINES:
        mount(str(home / "etc" / name), f"/etc/{name}", None, MS_BIND)
    for above, folders, files in os.walk(home):
        for name in (".", *folders, *files):
            os.chown(Path(above) / name, _USER, _USER)
    for target, descriptor in mapped.items():
        _call(_MOVE_MOUNT, descriptor, b"", -100, os.fsencode(target), _MOVE_EMPTY_PATH)
        os.close(descriptor)
    os.setgroups([])
    os.setgid(_USER)
    os.setuid(_USER)
    os.chdir(ROOT)
    os.environ |= {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
    }
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.execvp(command[0], command)


def _reach(paths: list[Path]) -> None:
    """
    Let everybody reach *paths*, and nothing beside them in directories that are not for everybody.
    """
    hidden: dict[Path, list[tuple[Path, int]]] = {}
    for path in paths:
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                found = (path, os.open(path, os.O_PATH))
                hidden.setdefault(above, []).append(found)
                break
    for above, below in hidden.items():
        mount("tmpfs", str(above), "tmpfs", 0, "mode=755")
        for path, descriptor in below:
            path.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{descriptor}", str(path), None, MS_BIND)
            os.close(descriptor)


def _images_for(place: Path, store: Path) -> dict[Path, Path]:
    """
    Copy what *store* knows about our images, and return where their layers are and belong.
    """
    for name in ("images", "tags", "sizes", "layers"):
        (place / name).mkdir()
    layers = {}
    for tag in (store / "tags").iterdir():
        if not tag.name.startswith(_IMAGES) or "contract" in tag.name:
            continue
        shutil.copy(tag, place / "tags")
        record = store / "images" / f"{tag.read_text()}.json"
        shutil.copy(record, place / "images")
        for layer in json.loads(record.read_text())["layers"]:
            shutil.copy(store / "sizes" / f"{layer}.json", place / "sizes")
            layers[store / "layers" / layer] = place / "layers" / layer
    for target in layers.values():
        target.mkdir()
    return layers


def _mapped(places: dict[Path, Path]) -> dict[Path, int]:
    """
    Return descriptors of mounts of directories, in which root's files are the user's, each with the
    place that it is for.
    """
    made, make = os.pipe()
    child = os.fork()
    if not child:
        try:
            unshare(NEW_USER)
            os.write(make, b"m")
            signal.pause()
        finally:
            os._exit(0)
    os.close(make)
    os.read(made, 1)
    os.close(made)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text(_IDS)
    namespace = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    found = {}
    for source, target in places.items():
        tree = _call(_OPEN_TREE, -100, os.fsencode(source), _CLONE)
        # Set, clear, propagation, the namespace.
        wanted = (ctypes.c_uint64 * 4)(_MAPPED, 0, 0, namespace)
        _call(_MOUNT_SETATTR, tree, b"", _EMPTY_PATH, wanted, ctypes.sizeof(wanted))
        found[target] = tree
    os.close(namespace)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return found


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
