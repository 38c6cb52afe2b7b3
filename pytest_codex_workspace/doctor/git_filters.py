"""Checks of what git keeps in another form than the one people see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import ProjectionError
from ..git import git, inside, reading_environment
from ..repository import RepositorySnapshot
from .results import Result, advised, counted, ok, some, warning

__all__ = ["filters"]

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n")
_LARGEST_POINTER = 1024
_FILTER = re.compile(r"\bfilter=([^\s]+)")
_PATIENCE = 8.0


def filters(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Files that are committed as LFS pointers, or through other filters: a
    workspace has them as they are committed.
    """
    try:
        return _looked_up(snapshot, environ)
    except ProjectionError as problem:
        # A large repository takes its time, and a workspace needs none of this.
        return replace(advised(problem), status="warning")


def _looked_up(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
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
            f"the commit has {counted(len(pointers), 'LFS pointer')}, and the workspace gets no "
            f"more than that: {some(pointers)}",
            "Let setup-script.sh download them over HTTPS (a workspace has no remote for "
            "`git lfs pull`), or commit them as they are.",
        )
    others = sorted(named - {"lfs"})
    if others:
        return warning(
            f".gitattributes names filters ({some(others)}); the workspace gets what is committed, "
            "not what they make of it",
            "Let setup-script.sh undo the filter, or do without it.",
        )
    return ok("no LFS pointers" + (", though .gitattributes provides for them" if named else ""))


def _files(
    snapshot: RepositorySnapshot, environ: Mapping[str, str]
) -> Iterator[tuple[str, str, int]]:
    """
    Path, id and size of each file.
    """
    listed = git(
        *(*inside(snapshot.git_dir), "ls-tree", "-r", "-z", "--long", "--full-tree"),
        snapshot.head,
        env=reading_environment(environ),
        timeout=_PATIENCE,
    )
    for entry in os.fsdecode(listed).split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        mode, kind, blob, size = facts.split()
        if kind == "blob" and mode != "120000":
            yield path, blob, int(size) if size.isdecimal() else 0


def _contents(git_dir: Path, blobs: set[str], environ: Mapping[str, str]) -> dict[str, bytes]:
    """
    What is in each of *blobs*, which are small.
    """
    if not blobs:
        return {}
    told = git(
        *(*inside(git_dir), "cat-file", "--batch"),
        input="".join(f"{blob}\n" for blob in blobs).encode(),
        env=reading_environment(environ),
        timeout=_PATIENCE,
    )
    found, position = {}, 0
    while position < len(told):
        end = told.index(b"\n", position)
        blob, _, size = told[position:end].split(b" ")
        start, position = end + 1, end + 2 + int(size)
        found[blob.decode()] = told[start : position - 1]
    return found
