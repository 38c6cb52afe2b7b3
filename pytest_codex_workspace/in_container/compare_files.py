"""Says how the files that a script has made differ after another run. The host sends it.

What it prints is not trusted: the scripts of the repository may have replaced anything that it
reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["compare", "files", "main", "remember"]

MOST_FILES = 200000
MOST_REPORTED = 200
LARGEST_HASHED = 1 << 20

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
    if words[0] == "remember":
        done = remember(float(words[1]), words[2])
    else:
        done = compare(float(words[1]), words[2])
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
