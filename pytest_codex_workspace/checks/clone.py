"""The user's clone: reading a commit of it in few calls of git."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..projection.git import GitResult, git, inside, reading_environment, run_git
from ..projection.repository import find_commit
from .tree import CommittedFile, CommittedTree

__all__ = ["Clone"]

_TIMEOUT = 8.0
"""Seconds for one call of git."""


@dataclass(frozen=True, slots=True)
class Clone:
    """
    A commit in a clone of this machine.

    Attributes:
        top: top level of the work tree.
        git_dir: git directory of the work tree.
        commit: full id of the commit, or of a tag that leads to it.
        shallow: whether the clone is shallow.
        is_head: whether the commit is the one that is checked out, so that the work tree can be
            compared with it.
        environ: the environment of this process.
    """

    top: Path
    git_dir: Path
    commit: str
    shallow: bool
    is_head: bool
    environ: Mapping[str, str]

    @classmethod
    def of(cls, path: str | Path, rev: str, environ: Mapping[str, str]) -> Clone:
        """
        Find the commit *rev* of the repository that contains *path*.

        Raises:
            ProjectionError: there is no such repository or commit.
        """
        found = find_commit(path, rev, environ=environ)
        return cls(found.top, found.git_dir, found.id, found.shallow, rev == "HEAD", environ)

    def tree(self) -> CommittedTree:
        """
        Return the files of the commit.

        Raises:
            ProjectionError: git failed.
        """
        return CommittedTree(dict(self._listed()), self._contents)

    def ask(self, *args: str, input: bytes = b"", in_work_tree: bool = False) -> GitResult:  # noqa: A002
        """
        Run a git command that reads, in the git directory or the work tree.
        """
        env = reading_environment(self.environ)
        place = () if in_work_tree else inside(self.git_dir)
        cwd = self.top if in_work_tree else None
        return run_git(*place, *args, env=env, cwd=cwd, input=input, timeout=_TIMEOUT)

    def _listed(self) -> Iterator[tuple[str, CommittedFile]]:
        commit = f"{self.commit}^{{commit}}"
        listed = git(
            *(*inside(self.git_dir), "ls-tree", "-r", "-z", "--long", "--full-tree", commit),
            env=reading_environment(self.environ),
            timeout=_TIMEOUT,
        )
        for entry in os.fsdecode(listed).split("\0")[:-1]:
            facts, _, path = entry.partition("\t")
            mode, kind, blob, size = facts.split()
            if kind == "blob":
                yield path, CommittedFile(mode, blob, int(size) if size.isdecimal() else 0)

    def _contents(self, blobs: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(blobs))
        if not wanted:
            return {}
        output = git(
            *(*inside(self.git_dir), "cat-file", "--batch"),
            input="".join(f"{blob}\n" for blob in wanted).encode(),
            env=reading_environment(self.environ),
            timeout=_TIMEOUT,
        )
        found, position = {}, 0
        while position < len(output):
            end = output.index(b"\n", position)
            blob, _, size = output[position:end].partition(b" ")
            position = end + 1
            if not size.startswith(b"blob "):
                continue
            start, position = position, position + int(size[5:]) + 1
            found[blob.decode()] = output[start : position - 1]
        return found
