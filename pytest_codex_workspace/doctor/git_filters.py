"""Check for files that git stores in another form than in the work tree, such as LFS pointers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import ProjectionError
from ..projection.git import git, inside, reading_environment
from ..projection.repository import RepositorySnapshot
from ..text.phrases import counted
from .result import Result, from_error, ok, some, warning

__all__ = ["filters"]

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n")
_LARGEST_POINTER = 1024
_FILTER = re.compile(r"\bfilter=([^\s]+)")
_TIMEOUT = 8.0


def filters(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Check for files that are committed as LFS pointers or through other filters.
    A workspace gets these files as they are committed.
    """
    try:
        return _check(snapshot, environ)
    except ProjectionError as problem:
        # The check is slow for a large repository, but a workspace does not need it.
        return replace(from_error(problem), status="warning")


def _check(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    small: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for path, blob, size in _files(snapshot, environ):
        if path.rpartition("/")[2] == ".gitattributes":
            attributes[path] = blob
        elif 100 < size < _LARGEST_POINTER:
            small[path] = blob
    contents = _contents(snapshot.git_dir, {*small.values(), *attributes.values()}, environ)
    pointers = [path for path, blob in small.items() if _POINTER.match(contents.get(blob, b""))]
    named = {
        name
        for blob in attributes.values()
        for name in _FILTER.findall(contents.get(blob, b"").decode("utf-8", "replace"))
    }
    if pointers:
        return warning(
            f"the commit has {counted(len(pointers), 'LFS pointer')}, and the workspace gets the "
            f"pointers instead of the files: {some(pointers)}",
            "Download the files over HTTPS in setup-script.sh (a workspace has no remote for "
            "`git lfs pull`), or commit them without LFS.",
        )
    others = sorted(named - {"lfs"})
    if others:
        return warning(
            f".gitattributes names filters ({some(others)}); the workspace gets the files as "
            "committed, without the filters",
            "Apply the filter in setup-script.sh, or commit the files without it.",
        )
    return ok("no LFS pointers" + (", although .gitattributes uses LFS" if named else ""))


def _files(
    snapshot: RepositorySnapshot, environ: Mapping[str, str]
) -> Iterator[tuple[str, str, int]]:
    """
    Yield path, id and size of each file.
    """
    listed = git(
        *(*inside(snapshot.git_dir), "ls-tree", "-r", "-z", "--long", "--full-tree"),
        snapshot.head,
        env=reading_environment(environ),
        timeout=_TIMEOUT,
    )
    for entry in os.fsdecode(listed).split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        mode, kind, blob, size = facts.split()
        if kind == "blob" and mode != "120000":
            yield path, blob, int(size) if size.isdecimal() else 0


def _contents(git_dir: Path, blobs: set[str], environ: Mapping[str, str]) -> dict[str, bytes]:
    """
    Return the contents of *blobs*, which are small.
    """
    if not blobs:
        return {}
    output = git(
        *(*inside(git_dir), "cat-file", "--batch"),
        input="".join(f"{blob}\n" for blob in blobs).encode(),
        env=reading_environment(environ),
        timeout=_TIMEOUT,
    )
    found, position = {}, 0
    while position < len(output):
        end = output.index(b"\n", position)
        blob, _, size = output[position:end].split(b" ")
        start, position = end + 1, end + 2 + int(size)
        found[blob.decode()] = output[start : position - 1]
    return found
