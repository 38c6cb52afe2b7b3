"""Looks for values in files. The host sends this program to a workspace, and uses it itself.

The input is JSON: `values` has lists of byte strings in hexadecimal by name, `age` the seconds
since which a file must have changed, `seconds` and `bytes` the limits, and `root` where to begin.
The output is JSON, too: what was found, and whether everything was searched.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["find_in_pieces", "main"]

PIECE = 1 << 20
_FOUND = 1000
_FILES = 1000000
_SKIPPED = (b"/proc", b"/sys", b"/dev")


def find_in_pieces(pieces: Iterable[bytes], values: Mapping[str, Sequence[bytes]]) -> set[str]:
    """
    Return the names in *values* of which a value is in the pieces together.
    """
    longest = max((len(one) for some in values.values() for one in some), default=1)
    found: set[str] = set()
    rest = b""
    for piece in pieces:
        data = rest + piece
        for name, some in values.items():
            if name not in found and any(one in data for one in some):
                found.add(name)
        if len(found) == len(values):
            break
        # A value may begin in one piece and end in the next.
        rest = data[-(longest - 1) :] if longest > 1 else b""
    return found


def _changed_files(
    root: bytes, since: float, until: float
) -> tuple[list[tuple[int, bytes, int]], bool]:
    """
    Return size and path of each file and link below *root* that has changed, and whether there
    was time for all. Other file systems are not entered.
    """
    files: list[tuple[int, bytes, int]] = []
    waiting, device = [root], os.stat(root).st_dev
    while waiting:
        if time.monotonic() > until or len(files) > _FILES:
            return files, False
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(state.st_mode):
                        if state.st_dev == device and entry.path not in _SKIPPED:
                            waiting.append(entry.path)
                    elif state.st_ctime >= since:
                        # Of a file that is none, only the name is searched.
                        size = state.st_size if stat.S_ISREG(state.st_mode) else 0
                        files.append((size, entry.path, state.st_mode))
        except OSError:
            continue
    return files, True


def _pieces(path: bytes, limit: int) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        while limit > 0:
            piece = file.read(min(PIECE, limit))
            if not piece:
                return
            limit -= len(piece)
            yield piece


def _search(request: dict[str, Any]) -> dict[str, Any]:
    values = {
        name: [bytes.fromhex(one) for one in some] for name, some in request["values"].items()
    }
    until = time.monotonic() + request["seconds"]
    since = time.time() - request["age"]
    files, complete = _changed_files(os.fsencode(request["root"]), since, until)
    found: list[list[str]] = []
    left = request["bytes"]
    # Configuration is small, so it comes first if there is not time for all.
    for size, path, mode in sorted(files):
        if time.monotonic() > until or len(found) >= _FOUND or (size and left <= 0):
            complete = False
            break
        try:
            names = dict.fromkeys(find_in_pieces([path], values), "name")
            if stat.S_ISLNK(mode):
                link = os.readlink(path)
                names.update(dict.fromkeys(find_in_pieces([link], values), "link"))
            elif stat.S_ISREG(mode):
                complete = complete and size <= left
                inside = find_in_pieces(_pieces(path, left), values)
                names.update(dict.fromkeys(inside, "content"))
                left -= size
        except OSError:
            continue
        shown = os.fsdecode(path).encode("utf-8", "replace").decode("utf-8")
        found += [[name, what, shown] for name, what in sorted(names.items())]
    return {"found": found, "complete": complete}


def main() -> None:
    """
    Answer the request on standard input.
    """
    json.dump(_search(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
