"""Looking for the values of secrets where they must not be: in workspaces, images and files.

A value is found as it is, in the forms of `Redaction` (URLs, JSON, shells, single lines), in
Base64 wherever it begins, and in hexadecimal. Files that are gzip or zlib as a whole, such as
loose objects of git, are unpacked (256 MiB of each). What is compressed or encrypted otherwise is
not looked into.
"""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

from ..engine.protocol import ContainerChange, Engine
from ..engine.tar_headers import bounded_header
from ..errors import EngineError
from ..in_container.find_values import PIECE, find_in_pieces
from ..text.credentials import MASK
from ..text.phrases import cut_middle
from ..text.printable import printable
from .redaction import forms_of
from .secrets import Secrets

__all__ = [
    "NOTHING_FOUND",
    "Found",
    "Search",
    "search_container",
    "search_exported",
    "search_files",
    "search_image",
    "search_workspace",
]

_SHORTEST_CODED = 8
"""Characters of a coded value. What is shorter occurs in unrelated data."""

_START = 512
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_HEADER_LIMIT = 32 << 20
_MARGIN = 2.0
_SECONDS = 60.0
_WORKSPACE_BYTES = 4 << 30
_IMAGE_BYTES = 64 << 30
_SHOWN = 300
_ROOTS = 2000
_KERNEL = ("/proc/", "/sys/", "/dev/")

Where = Literal["content", "name", "link", "description"]

Run = Callable[[list[str], bytes, float], bytes]
"""Runs a program with an input and a time limit in a workspace, and returns its output."""


@dataclass(frozen=True, slots=True)
class Found:
    """
    A place where the value of a secret is. The value itself is not part of it.

    Attributes:
        secret: name of the secret.
        what: the `content`, the `name`, or the target of a `link`; of an image, also its
            `description`, with labels, variables and history.
        path: path in the workspace or on this machine; of an image, the path in a layer, or the
            member of the exported file.
    """

    secret: str
    what: Where
    path: str

    def __str__(self) -> str:
        """
        Return one line for people.
        """
        of = {"content": "", "name": " (its name)", "link": " (the target of a link)"}
        return f"{self.secret} in {self.path}{of.get(self.what, '')}"


@dataclass(frozen=True, slots=True)
class Search:
    """
    The result of a search.

    Attributes:
        found: every place, in a fixed order.
        incomplete: why something was not searched; empty if everything was.
    """

    found: tuple[Found, ...] = ()
    incomplete: str = ""

    @property
    def clean(self) -> bool:
        """
        Whether everything was searched, and nothing found: the proof that no value is there.
        """
        return not self.found and not self.incomplete


NOTHING_FOUND = Search()


def search_workspace(run: Run, secrets: Secrets, age: float, root: str = "/") -> Search:
    """
    Search the files of a workspace that have changed lately, by a program in the workspace.

    Its limits are one minute and 4 GiB; small files come first. Root in a workspace can replace
    Python, so the result is for honest scripts. `search_image` does not depend on the workspace.

    Args:
        run: runs a program there.
        secrets: what to look for.
        age: seconds since which a file must have changed.
        root: directory to begin with.

    Raises:
        OSError: the program could not be run.
        SecretError: a secret is not set.
    """
    values = _values(secrets)
    if not values:
        return NOTHING_FOUND
    program = resources.files("pytest_codex_workspace.in_container") / "find_values.py"
    request = {
        "values": {name: [one.hex() for one in some] for name, some in values.items()},
        "age": age + _MARGIN,
        "seconds": _SECONDS,
        "bytes": _WORKSPACE_BYTES,
        "root": root,
    }
    argv = ["python3", "-I", "-S", "-c", program.read_text("utf-8")]
    try:
        answer = json.loads(run(argv, json.dumps(request).encode("ascii"), 2 * _SECONDS))
        found = [_found(values, *place) for place in answer["found"]]
        complete = answer["complete"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return Search(incomplete="Python in the workspace did not answer as expected")
    left = (
        "" if complete is True else f"not all files could be searched in {_SECONDS:g} s and 4 GiB"
    )
    return Search(_sorted(found), left)


def _found(values: Mapping[str, list[bytes]], name: object, what: object, path: object) -> Found:
    """
    Return a place that a program of the workspace has named.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(name, str) or name not in values or not isinstance(path, str):
        raise ValueError("not a place of a secret")
    if what not in ("content", "name", "link"):
        raise ValueError("not a kind of place")
    return Found(name, what, _path(path, values))


def search_image(
    engine: Engine, image: str, secrets: Secrets, *, limit: int = _IMAGE_BYTES
) -> Search:
    """
    Search an image as the engine exports it: the content, names and links of every layer, labels,
    variables and history. Nothing of the image runs.

    Args:
        engine: has the image.
        image: its tag or id.
        secrets: what to look for.
        limit: the largest number of bytes to read.

    Raises:
        EngineError: the engine does not export the image.
        SecretError: a secret is not set.
    """
    return search_exported(engine.save([image]), secrets, limit=limit)


def search_container(
    engine: Engine, container: str, secrets: Secrets, *, limit: int = _WORKSPACE_BYTES
) -> Search:
    """
    Search what differs between a container and its image, as the engine reads it: for a workspace
    in which `setup-script.sh` ran, the layer that setup made. Nothing runs in the container.

    Args:
        engine: has the container.
        container: its id.
        secrets: what to look for.
        limit: the largest number of bytes to read.

    Raises:
        EngineError: the engine refused.
        SecretError: a secret is not set.
    """
    values = _values(secrets)
    found: set[Found] = set()
    problems: list[str] = []
    roots = _roots(engine.changes(container))
    if len(roots) > _ROOTS:
        problems.append(f"{len(roots)} places have changed, of which {_ROOTS} were searched")
    for path, added in roots[:_ROOTS]:
        parent = path.rpartition("/")[0]
        try:
            pieces = _limited(engine.get_archive(container, path), limit)
            for member, content in _members(_Forward(_reader(pieces))):
                # Of a directory that was there before, what differs is in the list itself.
                if member.isdir() and not added:
                    break
                found |= _searched(member, content, values, f"{parent}/{member.name}")
        except EngineError as error:
            problems.append(f"{_path(path, values)} cannot be read: {error.message}")
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            problems.append(f"{_path(path, values)} cannot be read: {error}")
    return Search(_sorted(found), "; ".join(problems[:1]))


def _roots(changes: Iterable[ContainerChange]) -> list[tuple[str, bool]]:
    """
    Return the paths that have everything new below them, and whether each was added. What is
    below the kernel's own directories is no file of the container.
    """
    kinds = {change.path: change.kind for change in changes if change.kind != "removed"}
    parents = {path.rpartition("/")[0] for path in kinds}
    return sorted(
        (path, kind == "added")
        for path, kind in kinds.items()
        if (kind == "added" and kinds.get(path.rpartition("/")[0]) != "added")
        or (kind == "changed" and path not in parents)
        if not path.startswith(_KERNEL)
    )


def search_exported(
    pieces: Iterable[bytes], secrets: Secrets, *, limit: int = _IMAGE_BYTES
) -> Search:
    """
    Search an exported image; see `search_image`.
    """
    values = _values(secrets)
    found: set[Found] = set()
    problems: list[str] = []
    try:
        for member, content in _members(_Forward(_reader(_limited(pieces, limit)))):
            if content is not None:
                found |= _member(member.name, content, values, problems)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        problems.append(f"the exported image cannot be read: {error}")
    return Search(_sorted(found), "; ".join(problems[:1]))


def search_files(paths: Iterable[Path], secrets: Secrets) -> Search:
    """
    Search files of this machine, and what is below directories: logs, cassettes, reports. A link
    is not followed.

    Raises:
        SecretError: a secret is not set.
    """
    values = _values(secrets)
    found: set[Found] = set()
    problems: list[str] = []
    for path in _files(paths):
        shown = _path(path, values)
        named = find_in_pieces([os.fsencode(path)], values)
        found |= {Found(name, "name", shown) for name in named}
        try:
            if path.is_symlink():
                link = find_in_pieces([os.fsencode(path.readlink())], values)
                found |= {Found(name, "link", shown) for name in link}
                continue
            inside = find_in_pieces(_read(path), values)
        except OSError as error:
            problems.append(f"{shown} cannot be read: {error}")
            continue
        found |= {Found(name, "content", shown) for name in inside}
    return Search(_sorted(found), "; ".join(problems[:1]))


def _members(file: _Forward) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """
    Yield each member of a tar, and its content if it is a file.
    """
    header = bounded_header(_HEADER_LIMIT)
    with tarfile.open(fileobj=cast("BinaryIO", file), mode="r:", tarinfo=header) as tar:
        while (member := tar.next()) is not None:
            # A million members need not be in memory.
            tar.members = []  # type: ignore[attr-defined]
            yield member, tar.extractfile(member) if member.isreg() else None


def _member(
    name: str, file: IO[bytes], values: Mapping[str, list[bytes]], problems: list[str]
) -> set[Found]:
    """
    Search a member of an exported image: a layer, or a description.
    """
    start = file.read(_START)
    rest = itertools.chain([start], _until_end(file))
    if start.startswith(_ZSTD):
        problems.append(f"the layer {name} is compressed by zstd, which is not searched")
        return set()
    source: IO[bytes] = cast("IO[bytes]", io.BufferedReader(_Raw(_reader(rest)), PIECE))
    if start.startswith(_GZIP):
        source = cast("IO[bytes]", gzip.GzipFile(fileobj=source))
    elif start[257:262] != b"ustar":
        inside = find_in_pieces(rest, values)
        return {Found(one, "description", _path(name, values)) for one in inside}
    found: set[Found] = set()
    try:
        for member, content in _members(_Forward(source.read)):
            found |= _searched(member, content, values, f"/{member.name}")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        problems.append(f"the layer {name} cannot be read: {error}")
    return found


def _searched(
    member: tarfile.TarInfo,
    content: IO[bytes] | None,
    values: Mapping[str, list[bytes]],
    path: str,
) -> set[Found]:
    """
    Search a member of a layer: its name with its attributes, its target, and its content.
    """
    shown = _path(path, values)
    about = b"\0".join([os.fsencode(member.name), *_texts(member)])
    found = {Found(one, "name", shown) for one in find_in_pieces([about], values)}
    link = os.fsencode(member.linkname)
    found |= {Found(one, "link", shown) for one in find_in_pieces([link], values)}
    if content is not None:
        inside = find_in_pieces(_until_end(content), values)
        found |= {Found(one, "content", shown) for one in inside}
    return found


def _until_end(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(PIECE), b"")


def _texts(member: tarfile.TarInfo) -> list[bytes]:
    return [
        text.encode("utf-8", "surrogateescape")
        for pair in member.pax_headers.items()
        for text in pair
    ]


def _values(secrets: Secrets) -> dict[str, list[bytes]]:
    return {name: _all_forms(value) for name, value in secrets.values.items()}


def _all_forms(value: str) -> list[bytes]:
    found = set(forms_of(value))
    for text in {value, value.strip(), *value.splitlines()}:
        data = text.encode("utf-8", "surrogateescape")
        if len(data) >= _SHORTEST_CODED:
            found |= {data.hex().encode(), data.hex().upper().encode(), *_base64(data)}
    return sorted(found)


def _base64(data: bytes) -> Iterator[bytes]:
    """
    Yield what every Base64 text has that contains *data*, for each place at which it may begin.
    Characters that also depend on what is before or behind are left out.
    """
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data)
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        core = coded[first:last]
        if len(core) >= _SHORTEST_CODED:
            yield core
            yield core.replace(b"+", b"-").replace(b"/", b"_")


def _sorted(found: Iterable[Found]) -> tuple[Found, ...]:
    return tuple(sorted(set(found), key=lambda one: (one.path, one.secret, one.what)))


def _path(path: object, values: Mapping[str, list[bytes]]) -> str:
    """
    Return a path for people, without the value of a secret that may be part of it.
    """
    shown = str(path)
    for form in sorted((form for some in values.values() for form in some), key=len, reverse=True):
        shown = shown.replace(form.decode("utf-8", "surrogateescape"), MASK)
    return cut_middle(printable(shown), _SHOWN)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            yield path
            continue
        for directory, _, names in os.walk(path):
            yield from (Path(directory, name) for name in sorted(names))


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from _until_end(file)


def _limited(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    for piece in pieces:
        limit -= len(piece)
        if limit < 0:
            raise ValueError("it is larger than the limit of the search")
        yield piece


def _reader(pieces: Iterator[bytes]) -> Callable[[int], bytes]:
    """
    Return a function that reads a number of bytes of *pieces*.
    """
    rest = bytearray()

    def read(size: int) -> bytes:
        while len(rest) < size and (piece := next(pieces, b"")):
            rest.extend(piece)
        data = bytes(rest[:size])
        del rest[:size]
        return data

    return read


class _Raw(io.RawIOBase):
    """
    A stream of what a function returns.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Forward:
    """
    A file for `tarfile` that is only read forwards, and of which nobody reads more at once than
    the extended header of a tar may have.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT:
            raise ValueError("one of its headers is too long")
        data = self._read(size)
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._at:
            raise ValueError("it cannot be read in order")
        while self._at < offset and self.read(min(PIECE, offset - self._at)):
            pass
        return self._at
