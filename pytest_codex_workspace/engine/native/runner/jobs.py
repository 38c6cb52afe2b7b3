"""What is done to the files of containers and layers, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tarfile
from typing import Any

from .archives import pack_files, pack_layer, unpack_files, unpack_layer
from .kernel.mounts import hide_from_host, mount_layers
from .kernel.system import NEW_NS, enter, is_mapped, unmount, unshare
from .namespace import check_namespace
from .processes import is_alive
from .removal import discard_tree

__all__ = ["JobError", "run_job"]


class JobError(Exception):
    """
    A job that cannot be done, in words for the user.
    """


def run_job(root: str, asked: dict[str, Any], data: int | None, tell: Any) -> dict[str, Any]:
    """
    Do what is asked, and return the answer.

    Args:
        root: the directory of the engine.
        asked: the job, by its name in `do`, and what it is about.
        data: the descriptor from which an archive is read, or to which it is written.
        tell: sends a message before the answer.

    Raises:
        JobError: it cannot be done.
        NamespaceError: no container can be made.
        OSError: the kernel refused.
        tarfile.TarError: an archive is damaged.
    """
    match asked["do"]:
        case "put":
            return _in_container(root, asked["id"], lambda: _put(asked["path"], data))
        case "get":
            return _in_container(root, asked["id"], lambda: _get(asked["path"], data, tell))
        case "changes":
            return _changes(root, asked["id"])
        case "unpack":
            mapped = is_mapped()
            return _in_directory(asked["path"], lambda: _unpack_layer(data, mapped))
        case "pack":
            mapped = is_mapped()
            return _in_directory(asked["path"], lambda: _pack_layer(data, tell, mapped))
        case "size":
            return {"size": _size(asked["path"])}
        case "copy":
            return _copy(asked["path"], asked["to"])
        case "move":
            os.rename(asked["path"], asked["to"])
            return {}
        case "discard":
            discard_tree(asked["path"], asked["to"])
            return {}
        case "check":
            check_namespace(root)
            return {}
    raise JobError(f"there is no job {asked['do']}")


def _in_container(root: str, container: str, work: Any) -> dict[str, Any]:
    """
    Do *work* in the root of a container, whether it runs or not.
    """
    path = f"{root}/containers/{container}"
    try:
        with open(f"{path}/container.json") as file:
            spec = json.load(file)
    except FileNotFoundError:
        raise JobError(f"No such container: {container}") from None
    first = _first_process(path)
    if first is not None:
        namespace = os.open(f"/proc/{first[0]}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        if is_alive(first):
            _load_nothing()
            enter(namespace)
            os.chdir("/")
            result: dict[str, Any] = work()
            return result
        os.close(namespace)
    unshare(NEW_NS)
    hide_from_host()
    target = mount_layers(f"{root}/layers", spec["layers"], path)
    try:
        return _in_child(target, work)
    finally:
        os.chdir("/")
        unmount(target)


def _first_process(path: str) -> list[Any] | None:
    try:
        with open(f"{path}/state.json") as file:
            first = json.load(file).get("first")
    except (OSError, ValueError):
        return None
    return first if first and is_alive(first) else None


def _in_child(directory: str, work: Any) -> dict[str, Any]:
    """
    Do *work* in a child whose root is *directory*, so that this process can leave it again.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            _load_nothing()
            os.chroot(directory)
            os.chdir("/")
            answer = {"answer": work()}
        except (OSError, JobError, tarfile.TarError) as error:
            answer = {"error": str(error)}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            with open(write, "wb") as file:
                file.write(json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    found = json.loads(text or b'{"error": "the process that did it was killed"}')
    if "error" in found:
        raise JobError(found["error"])
    result: dict[str, Any] = found["answer"]
    return result


def _in_directory(directory: str, work: Any) -> dict[str, Any]:
    _load_nothing()
    os.chroot(directory)
    os.chdir("/")
    result: dict[str, Any] = work()
    return result


def _load_nothing() -> None:
    """
    Let this process import nothing more: the files that it will see are a container's.
    """
    sys.path.clear()
    sys.path_importer_cache.clear()


def _put(path: str, data: int | None) -> dict[str, Any]:
    assert data is not None
    if not os.path.isdir(path):
        raise JobError(f"Could not find the file {path} in the container")
    with open(data, "rb", buffering=0) as archive:
        unpack_files(archive, os.path.realpath(path))
        # What follows the end of an archive belongs to it.
        while archive.read(1 << 20):
            pass
    return {}


def _get(path: str, data: int | None, tell: Any) -> dict[str, Any]:
    assert data is not None
    if not os.path.lexists(path):
        raise JobError(f"Could not find the file {path} in the container")
    tell({"ready": True})
    with open(data, "wb", buffering=0) as archive:
        pack_files(path, archive)
    return {}


def _unpack_layer(data: int | None, mapped: bool) -> dict[str, Any]:
    assert data is not None
    with open(data, "rb", buffering=0) as archive:
        unpack_layer(archive, "/", mapped=mapped)
        while archive.read(1 << 20):
            pass
    return {"size": _size("/")}


def _pack_layer(data: int | None, tell: Any, mapped: bool) -> dict[str, Any]:
    assert data is not None
    tell({"ready": True})
    with open(data, "wb", buffering=0) as archive:
        pack_layer("/", archive, mapped=mapped)
    return {}


def _size(path: str) -> int:
    """
    Return the number of bytes of the files below *path*. A file with several names counts once.
    """
    total, seen, waiting = 0, set[int](), [path]
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode):
                    waiting.append(entry.path)
                elif stat.S_ISREG(state.st_mode):
                    if state.st_nlink > 1 and state.st_ino in seen:
                        continue
                    seen.add(state.st_ino)
                    total += state.st_size
    return total


def _copy(path: str, to: str) -> dict[str, Any]:
    """
    Copy a directory with everything that a layer has: owners, times, links, attributes, whiteouts.
    """
    code = os.spawnvp(
        os.P_WAIT, "cp", ["cp", "--archive", "--reflink=auto", "--no-target-directory", path, to]
    )
    if code:
        raise JobError(f"cp could not copy {path} (status {code})")
    return {}


def _changes(root: str, container: str) -> dict[str, Any]:
    path = f"{root}/containers/{container}"
    try:
        with open(f"{path}/container.json") as file:
            layers = json.load(file)["layers"]
    except FileNotFoundError:
        raise JobError(f"No such container: {container}") from None
    unshare(NEW_NS)
    hide_from_host()
    below = mount_layers(f"{root}/layers", layers, path, writable=False)
    found: list[tuple[str, str]] = []
    _compare(f"{path}/upper", below, "", found)
    os.chdir("/")
    unmount(below)
    return {"changes": found}


def _compare(upper: str, below: str, name: str, found: list[tuple[str, str]]) -> None:
    known = _is_directory(f"{below}{name}")
    for entry in sorted(os.listdir(f"{upper}{name}")):
        each = f"{name}/{entry}"
        state = os.lstat(f"{upper}{each}")
        if stat.S_ISCHR(state.st_mode) and not state.st_rdev:
            found.append((each, "removed"))
            continue
        was = known and os.path.lexists(f"{below}{each}")
        found.append((each, "changed" if was else "added"))
        if stat.S_ISDIR(state.st_mode):
            _compare(upper, below, each, found)


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
