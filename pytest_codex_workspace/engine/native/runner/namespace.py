"""The user namespace in which everything happens for a user who is not root.

There is one for each directory of an engine, which lasts as long as any process is in it: processes
of several engines reach each other's containers. Its root is the user, and the others are the
user's subordinate ids. Whoever made a namespace may enter it, so it needs no name but its number.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pwd
import shutil
import signal
import time
from typing import IO, TYPE_CHECKING, Any

from .kernel.mounts import hide_from_host, mount_layers
from .kernel.system import NEW_NET, NEW_NS, NEW_PID, NEW_USER, enter, mount, unmount, unshare
from .removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "NamespaceError",
    "become_root_of_namespace",
    "check_namespace",
    "find_range",
    "why_refused",
]

_SIZE = 65_536
"""The number of ids that Debian's files of users are made for."""

_FIRST = 100_000
"""Where useradd begins to give ranges."""

_TOOLS = ("newuidmap", "newgidmap")
_PATIENCE = 30.0
"""Seconds that one of them may take: it may ask a directory service for the user's ids."""

_OTHERWISE = "or use Docker or Podman"

_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)
"""Settings of the kernel, the value that refuses namespaces, and one that permits them."""

_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS)

_Ids = list[list[int]]
"""As in `/proc/self/uid_map`: the first id inside, the first outside, how many."""


class NamespaceError(Exception):
    """
    There can be no namespace here. The text says why, and what to do.
    """


def become_root_of_namespace(root: str) -> None:
    """
    Move this process, which has no root, into the user namespace of an engine.

    Args:
        root: the directory of the engine.

    Raises:
        NamespaceError: that cannot be done.
    """
    users, groups = _wanted()
    with _locked(f"{root}/namespace") as file:
        known = _known(file.read())
        if known and known["ids"] != [users, groups]:
            raise NamespaceError(
                f"the files in {root} belong to other ids than those that /etc/subuid and "
                "/etc/subgid give to this user now: give those back, or remove the directory as "
                "root"
            )
        descriptor = _living(known["number"], users) if known else None
        if descriptor is None:
            _make(users, groups)
        else:
            enter(descriptor)
            os.close(descriptor)
        file.seek(0)
        file.truncate()
        number = os.stat("/proc/self/ns/user").st_ino
        json.dump({"number": number, "ids": [users, groups]}, file)
    try:
        # Others of the user's groups have no number here.
        os.setgroups([])
        os.setgid(0)
    except OSError as error:
        raise NamespaceError(why_refused(error)) from None


def _known(text: str) -> dict[str, Any]:
    """
    Return what the file of the namespace says; nothing if it is new, or was not written to the end.
    """
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return found


def check_namespace(root: str) -> None:
    """
    Make what every container has, in namespaces that end with this process.

    Args:
        root: the directory of the engine.

    Raises:
        NamespaceError: the kernel or the file system of *root* refuses it.
    """
    # Of that name, other engines that start leave it alone.
    place = f"{root}/trash/check-{os.getpid()}-{time.monotonic_ns()}-new"
    merged = f"{place}/merged"
    for name in ("lower/file", "upper", "merged"):
        os.makedirs(f"{place}/{name}")
    try:
        try:
            unshare(NEW_NS | NEW_PID | NEW_NET)
            hide_from_host()
        except OSError as error:
            raise NamespaceError(why_refused(error)) from None
        try:
            mount_layers(place, ["lower"], place)
            # It takes a device node, an attribute and another owner to note that.
            os.rmdir(f"{merged}/file")
            os.mkdir(f"{merged}/file")
            os.chown(f"{merged}/file", 1, 1)
        except OSError as error:
            raise NamespaceError(_why_no_overlay(root, error)) from None
        if problem := _mount_kernel(merged):
            raise NamespaceError(
                f"containers can have no /proc and /sys of their own here ({problem}), as in most "
                "containers, where parts of the machine's are hidden: run on the machine itself, "
                f"{_OTHERWISE}"
            )
    finally:
        os.chdir("/")
        with contextlib.suppress(OSError):
            unmount(merged)
        remove_tree(place)


def _why_no_overlay(root: str, error: OSError) -> str:
    if error.errno == errno.ENODEV:
        return f"the kernel has no overlayfs: `sudo modprobe overlay`, {_OTHERWISE}"
    return (
        f"overlayfs cannot write to {root} without root ({error.strerror}): set XDG_CACHE_HOME, or "
        "give native:///DIRECTORY, to a directory on a disk of this machine"
    )


def _mount_kernel(target: str) -> str:
    """
    Mount what the kernel shows to a new first process, and return what it says against it.
    """
    child = os.fork()
    if not child:
        code = 0
        try:
            mount("proc", target, "proc")
            mount("sysfs", target, "sysfs")
        except OSError as error:
            code = error.errno or errno.EPERM
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return os.strerror(code) if code else ""


def _wanted() -> tuple[_Ids, _Ids]:
    if missing := [one for one in _TOOLS if shutil.which(one) is None]:
        raise NamespaceError(
            f"without root, the engine native needs {' and '.join(missing)}: install the package "
            f"uidmap (Fedora: shadow-utils), {_OTHERWISE}"
        )
    user, group = os.getuid(), os.getgid()
    names = [str(user)]
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(user)
        names.insert(0, entry.pw_name)
        # newgidmap gives this one, whatever newgrp has made of it.
        group = entry.pw_gid
    found = []
    for own, path in ((user, "/etc/subuid"), (group, "/etc/subgid")):
        first = find_range(_read(path), names)
        if first is None:
            raise NamespaceError(
                f"without root, the engine native needs {_SIZE:,} ids for {names[0]} in {path}: "
                f"{_advice(names[0])}, {_OTHERWISE}"
            )
        found.append([[0, own, 1], [1, first, _SIZE]])
    return found[0], found[1]


def find_range(text: str, names: Sequence[str]) -> int | None:
    """
    Return the first id of a range that is large enough; `None` if the user has none.

    Args:
        text: what `/etc/subuid` or `/etc/subgid` says.
        names: the name and the number of the user.
    """
    for name, first, count in _ranges(text):
        if name in names and count >= _SIZE:
            return first
    return None


def _ranges(text: str) -> Iterator[tuple[str, int, int]]:
    for line in text.splitlines():
        name, _, numbers = line.strip().partition(":")
        first, _, count = numbers.partition(":")
        if first.isdecimal() and count.isdecimal():
            yield name, int(first), int(count)


def _advice(name: str) -> str:
    """
    Return the command that gives a user a range that nobody has.
    """
    every = [*_ranges(_read("/etc/subuid")), *_ranges(_read("/etc/subgid"))]
    first = max([_FIRST, *(first + count for _, first, count in every)])
    ids = f"{first}-{first + _SIZE - 1}"
    return f"`sudo usermod --add-subuids {ids} --add-subgids {ids} {name}`"


@contextlib.contextmanager
def _locked(path: str) -> Iterator[IO[str]]:
    """
    Open a file which no other process opens in this way for the time of the block.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _living(number: int, users: _Ids) -> int | None:
    """
    Return a descriptor of the namespace with this number and these ids; `None` if it has ended.

    Another may have got its number meanwhile. With the same ids, that one is as good.
    """
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}/ns/user").st_ino != number:
                continue
            with open(f"/proc/{name}/uid_map") as file:
                ids = [[int(word) for word in line.split()] for line in file]
            descriptor = os.open(f"/proc/{name}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(descriptor).st_ino == number and ids == users:
                return descriptor
            os.close(descriptor)
    return None


def _make(users: _Ids, groups: _Ids) -> None:
    """
    Move this process into a new namespace. A child, which stays outside, gives it its ids.
    """
    process = os.getpid()
    asked, ask = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(ask)
            os.dup2(tell, 2)
            # Nothing comes if there is no namespace.
            if os.read(asked, 1):
                os.write(2, f"\n{_give_ids(process, users, groups)}".encode())
        finally:
            os._exit(0)
    os.close(asked)
    os.close(tell)
    try:
        try:
            unshare(NEW_USER)
        except OSError as error:
            raise NamespaceError(why_refused(error)) from None
        os.write(ask, b"g")
        with open(told, "rb") as file:
            said, _, code = file.read().decode(errors="replace").rpartition("\n")
    finally:
        os.close(ask)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    if code != "0":
        raise NamespaceError(
            f"the user namespace could not be given ids ({said.strip() or code}): see that "
            "newuidmap and newgidmap are as their package has them, with the rights of root, and "
            f"that no container forbids those, {_OTHERWISE}"
        )


def _give_ids(process: int, users: _Ids, groups: _Ids) -> int:
    """
    Give the namespace of a process its ids, and return 0, or the status of the tool that refused.
    """
    for tool, ids in zip(_TOOLS, (users, groups), strict=True):
        words = [str(one) for line in ids for one in line]
        if code := _run_tool([tool, str(process), *words]):
            return code
    return 0


def _run_tool(words: list[str]) -> int:
    """
    Run a program of the system, and return its status; 127 if it cannot be run. It is killed, with
    what it has started, if it does not end.
    """
    # For root, nothing of the runner needs it.
    from subprocess import Popen, TimeoutExpired

    try:
        process = Popen(words, process_group=0)
    except OSError as error:
        os.write(2, str(error).encode())
        return 127
    try:
        return process.wait(_PATIENCE)
    except TimeoutExpired:
        os.write(2, f"{words[0]} has not ended within {_PATIENCE:g} s".encode())
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def why_refused(error: OSError, proc: str = "/proc") -> str:
    """
    Return why the kernel has refused a user namespace or what belongs to it, with the remedy.

    Args:
        error: what it said.
        proc: where its settings are shown.
    """
    if error.errno in _REFUSALS:
        for name, bad, good in _SWITCHES:
            if _read(f"{proc}/sys/{name}").strip() == bad:
                setting = name.replace("/", ".")
                return (
                    f"user namespaces of users without root are switched off ({setting} is {bad}): "
                    f"`sudo sysctl {setting}={good}`, {_OTHERWISE}"
                )
        if "Seccomp:\t2" in _read(f"{proc}/self/status"):
            return (
                "a filter of system calls refuses user namespaces, as in most containers: run on "
                f"the machine itself, {_OTHERWISE}"
            )
    return f"the kernel refuses user namespaces ({error.strerror}): run as root, {_OTHERWISE}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
