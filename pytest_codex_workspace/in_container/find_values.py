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
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["find_in_pieces", "main"]

PIECE = 1 << 20
_UNPACKED = 256 << 20
"""The largest number of bytes that are unpacked of one file."""

_RATIO = 20
"""How many times larger than packed it may be. Text is 3 to 10 times, a bomb 1000 times larger."""

_FOUND = 1000
_FILES = 1000000
_SKIPPED = (b"/proc", b"/sys", b"/dev")


class _Finder:
    """
    Looks for values in data that comes in pieces. `found` has the names of those that were there.
    """

    def __init__(self, values: Mapping[str, Sequence[bytes]]) -> None:
        self.found: set[str] = set()
        self._values = values
        self._longest = max((len(one) for some in values.values() for one in some), default=1)
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        data = self._rest + piece
        for name, some in self._values.items():
            if name not in self.found and any(one in data for one in some):
                self.found.add(name)
        # A value may begin in one piece and end in the next.
        self._rest = data[-(self._longest - 1) :] if self._longest > 1 else b""


class _Unpacker:
    """
    Unpacks gzip, and zlib as in the objects of git, and passes on what is in it.
    """

    def __init__(self, feed: Callable[[bytes], None]) -> None:
        self._feed = feed
        self._left = _UNPACKED
        self._allowed = PIECE
        # Either header is recognised.
        self._stream: Any = zlib.decompressobj(47)

    def feed(self, data: bytes) -> None:
        self._allowed += _RATIO * len(data)
        try:
            while data and min(self._left, self._allowed) > 0:
                piece = self._stream.decompress(data, min(PIECE, self._left, self._allowed))
                self._left -= len(piece)
                self._allowed -= len(piece)
                self._feed(piece)
                data = self._stream.unconsumed_tail
        except zlib.error:
            data = b"broken"
        if data:
            # What is left out cannot be skipped.
            self._left = 0


def find_in_pieces(pieces: Iterable[bytes], values: Mapping[str, Sequence[bytes]]) -> set[str]:
    """
    Return the names in *values* of which a value is in the pieces together: as they are, or
    unpacked, if they are gzip or zlib as a whole.
    """
    finder, unpacker = _Finder(values), None
    for number, piece in enumerate(pieces):
        finder.feed(piece)
        if not number and _is_packed(piece):
            inside = _Finder(values)
            inside.found = finder.found
            unpacker = _Unpacker(inside.feed)
        if unpacker is not None:
            unpacker.feed(piece)
        if len(finder.found) == len(values):
            break
    return finder.found


def _is_packed(start: bytes) -> bool:
    if start[:2] == b"\x1f\x8b":
        return True
    return start[:1] == b"\x78" and len(start) > 1 and (start[0] * 256 + start[1]) % 31 == 0


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
