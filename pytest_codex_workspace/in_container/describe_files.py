"""Finds and describes files, so that the host can compare two containers. The host sends it.

Standard input is a JSON object with what is wanted; standard output is JSON, and not trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["describe", "main", "recent", "reply", "started"]

LARGEST_HASHED = 1 << 30
MOST_NAMES = 20000
OWN = frozenset(
    {"/dev", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"}
    | {"/proc", "/run", "/sys"}
)
"""What each container has of its own."""

_SECOND = 10**9
_SLACK = _SECOND // 10
_PIECE = 1 << 20


def started() -> int:
    """
    Return when the first process of the container started, by the clock that files have, in
    nanoseconds.
    """
    with open("/proc/uptime", encoding="ascii") as file:
        booted = time.time_ns() - int(float(file.read().split()[0]) * _SECOND)
    with open("/proc/1/stat", encoding="utf-8", errors="replace") as file:
        # The name, in parentheses, may contain anything.
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return booted + ticks * _SECOND // os.sysconf("SC_CLK_TCK") - _SLACK


def recent(since: int, most: int, top: str = "/") -> list[str]:
    """
    Return the paths of files and directories whose content or properties, or whose entries, have
    changed since a time in nanoseconds; one more than *most* if there are more. Nobody can set that
    time back.
    """
    found: list[str] = []
    waiting = [top]
    device = os.lstat(top).st_dev
    while waiting and len(found) <= most:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            if entry.path in OWN:
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(about.st_mode):
                if about.st_dev != device:
                    continue
                waiting.append(entry.path)
            if about.st_ctime_ns >= since:
                found.append(entry.path)
    if os.lstat(top).st_ctime_ns >= since:
        found.append(top)
    return sorted(found)[: most + 1]


def describe(paths: Iterable[str]) -> dict[str, list[Any]]:
    """
    Return type, permissions, owner, group, size and what stands for the content of each path that
    exists. A file of more than a GiB is told by its size and its time; the content of a directory
    is its names, if they are not too many.
    """
    found = {}
    for path in paths:
        try:
            found[path] = _describe(path)
        except (OSError, ValueError):
            continue
    return found


def _describe(path: str) -> list[Any]:
    about = os.lstat(path)
    kind = stat.S_IFMT(about.st_mode)
    size, content = 0, ""
    if kind == stat.S_IFLNK:
        content = os.readlink(path)
    elif kind == stat.S_IFDIR:
        names = sorted(os.listdir(path))
        content = "/".join(names) if len(names) <= MOST_NAMES else ""
    elif kind == stat.S_IFREG:
        size = about.st_size
        # An image keeps whole seconds.
        content = str(int(about.st_mtime)) if size > LARGEST_HASHED else _digest(path)
    return [kind, stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid, size, content]


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    # What lies there may be a pipe by now.
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(number, "rb") as file:
        while True:
            piece = file.read(_PIECE)
            if not piece:
                return digest.hexdigest()
            digest.update(piece)


def reply(wanted: dict[str, Any]) -> Any:
    """
    Return what the host asks for: the start, recent paths, or descriptions.
    """
    if "since" in wanted:
        return recent(wanted["since"], wanted["most"])
    if "paths" in wanted:
        return describe(wanted["paths"])
    return started()


def main() -> None:
    """
    Answer the question on standard input.
    """
    json.dump(reply(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
