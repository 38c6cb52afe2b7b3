"""
A program that looks around in a workspace: its processes, and the files that a script has made.

Its text is run by the Python of the image, so it is one file for old Pythons, with the standard
library only. What it prints is not trusted: the scripts of the repository may have replaced
anything that it reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from typing import Any

MOST_PROCESSES = 200
MOST_FILES = 200000
MOST_REPORTED = 200
LARGEST_HASHED = 1 << 20
SHORTENED = 300
LONGEST_LINE = 8192
RESOLVER = "0B00007F:"
"""127.0.0.11, where the engine itself listens, as Linux lists it."""

_NAMES = """
node_modules site-packages dist-packages .venv venv .tox .nox __pycache__ .cache target .git .npm
.yarn .pnpm-store .bun .cargo .rustup .m2 .gradle .nvm .pyenv .rbenv .gem .bundle .composer .dotnet
.nuget .config vendor dist build log logs tmp .pytest_cache .mypy_cache .ruff_cache .next .turbo
.eggs .deno .ivy2 .sbt .hex .mix _build deps .local
"""
_PATHS = """
/dev /proc /sys /run /tmp /var /opt/codex /usr/lib /usr/lib64 /usr/share /usr/include /lib /lib64
/boot /media /mnt /etc/ssl /etc/alternatives /etc/ld.so.cache /etc/hostname /etc/hosts
/etc/resolv.conf /etc/mtab /usr/local/lib /usr/local/share /root/go
"""
SKIPPED_NAMES = frozenset(_NAMES.split())
SKIPPED_PATHS = frozenset(_PATHS.split())
SKIPPED_ENDS = (".pyc", ".log", ".lock", ".pid", ".egg-info", ".dist-info", ".sock", "-shm", "-wal")
"""Caches, installed packages, and files that differ each time."""


def processes() -> dict[str, Any]:
    """
    Return the processes of the workspace, without this one and the agent, and who listens.
    """
    found: dict[str, dict[str, Any]] = {}
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, own) and len(found) < MOST_PROCESSES:
            one = _process(name)
            if one is not None:
                found[name] = one
    readers = {pipe for one in found.values() for pipe in one["reads"]}
    sockets, named = _listening(), _named_sockets()
    listed = []
    for number, one in found.items():
        ports = sorted({sockets[inode] for inode in one["sockets"] if inode in sockets})
        paths = sorted({named[inode] for inode in one["sockets"] if inode in named})
        listed.append(
            {
                "pid": int(number),
                "args": one["args"],
                "ports": ports,
                "paths": paths[:20],
                # A pipe that none of them reads leads to whoever started the script.
                "holds": any(pipe not in readers for pipe in one["writes"]),
            }
        )
    known = {port for one in listed for port in one["ports"]}
    return {"processes": listed, "ports": sorted(set(sockets.values()) - known)}


def _process(number: str) -> dict[str, Any] | None:
    directory = "/proc/" + number
    try:
        with open(directory + "/cmdline", "rb") as file:
            line = file.read(LONGEST_LINE)
        if not line:
            return None  # A zombie, or a thread of the kernel.
        # Not cut within a word: the host could not recognise a secret that is cut.
        whole = line if len(line) < LONGEST_LINE else line.rpartition(b"\0")[0]
        args = [part.decode("utf-8", "replace") for part in whole.split(b"\0")[:20]]
        owner = os.stat(directory)
    except OSError:
        return None
    reads: set[str] = set()
    writes: set[str] = set()
    sockets: set[str] = set()
    own = os.geteuid(), os.getegid()
    try:
        if own[0] == 0:
            # Without CAP_SYS_PTRACE, root must not see what another user's process has open.
            os.setegid(owner.st_gid)
            os.seteuid(owner.st_uid)
        for name in os.listdir(directory + "/fd"):
            try:
                link = os.readlink(directory + "/fd/" + name)
                if link.startswith("socket:["):
                    sockets.add(link[8:-1])
                elif link.startswith("pipe:["):
                    with open(directory + "/fdinfo/" + name) as file:
                        flags = int(file.read(4096).partition("flags:")[2].split()[0], 8)
                    (reads if flags & 3 == os.O_RDONLY else writes).add(link)
            except (OSError, ValueError, IndexError):
                pass
    except OSError:
        pass
    finally:
        if (os.geteuid(), os.getegid()) != own:
            os.seteuid(own[0])
            os.setegid(own[1])
    while args and not args[-1]:
        args.pop()
    return {"args": args, "reads": reads, "writes": writes, "sockets": sockets}


def _listening() -> dict[str, int]:
    """
    Return the ports on which somebody listens, by the inode of the socket.
    """
    found: dict[str, int] = {}
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name) as file:
                lines = file.read(1 << 20).splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == "0A" and not fields[1].startswith(RESOLVER):
                found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def _named_sockets() -> dict[str, str]:
    """
    Return the paths at which somebody listens, by the inode of the socket.
    """
    found: dict[str, str] = {}
    try:
        with open("/proc/net/unix", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()[1:]
    except OSError:
        return found
    for line in lines:
        fields = line.split(None, 7)
        # The flag says that it accepts connections; a name with @ has no file.
        if len(fields) == 8 and fields[3] == "00010000" and fields[7].startswith("/"):
            found[fields[6]] = fields[7][:SHORTENED]
    return found


def files(since: float) -> dict[str, list[Any]]:
    """
    Return what stands for the content of the files that changed since a time, by path. Caches and
    installed packages are left out.
    """
    found: dict[str, list[Any]] = {}
    waiting = ["/"]
    device = os.lstat("/").st_dev
    while waiting and len(found) < MOST_FILES:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            path = entry.path
            if path in SKIPPED_PATHS or entry.name in SKIPPED_NAMES:
                continue
            if entry.name.endswith(SKIPPED_ENDS):
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(about.st_mode):
                if about.st_dev == device:
                    waiting.append(path)
            elif about.st_ctime >= since:
                found[path] = _content(path, about)
    return found


def _content(path: str, about: os.stat_result) -> list[Any]:
    if stat.S_ISLNK(about.st_mode):
        try:
            return ["link", os.readlink(path)]
        except OSError:
            return ["link", ""]
    if not stat.S_ISREG(about.st_mode):
        return ["other", stat.S_IFMT(about.st_mode)]
    if about.st_size > LARGEST_HASHED:
        return ["file", about.st_size, ""]
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_HASHED)
    except OSError:
        return ["file", about.st_size, ""]
    return ["file", len(data), hashlib.sha256(data).hexdigest()]


def remember(since: float, where: str) -> dict[str, Any]:
    """
    Write what `files` returns to a file.
    """
    with open(where, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(files(since), file)
    return {}


def compare(since: float, where: str) -> dict[str, Any]:
    """
    Return how the files differ from those that `remember` has written.
    """
    with open(where, encoding="utf-8", errors="surrogateescape") as file:
        before = json.load(file)
    after = files(since)
    listed = []
    for path in sorted(set(before) | set(after)):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        if new is None:
            listed.append(["removed", path])
        elif old is None:
            listed.append(["added", path])
        elif old[0] == new[0] == "file" and new[1] > old[1] and _starts_with(path, old):
            listed.append(["longer", path])
        else:
            listed.append(["changed", path])
    return {"changes": listed[:MOST_REPORTED], "more": max(0, len(listed) - MOST_REPORTED)}


def _starts_with(path: str, old: list[Any]) -> bool:
    """
    Return whether a file has its old content at its beginning: something was added to its end.
    """
    if not old[2]:
        return False
    try:
        with open(path, "rb") as file:
            return bool(hashlib.sha256(file.read(old[1])).hexdigest() == old[2])
    except OSError:
        return False


def main(words: list[str]) -> None:
    """
    Do what the first word says, and print the result.
    """
    if words[0] == "processes":
        done = processes()
    elif words[0] == "remember":
        done = remember(float(words[1]), words[2])
    else:
        done = compare(float(words[1]), words[2])
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
