"""Read single files of a commit, as they are in the commit and not in the work tree."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ..errors import ProjectionError
from .git import git, inside, reading_environment, shared_dir
from .repository import find_commit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CommittedFiles", "WorkTreeState"]

_LITERALLY = {"GIT_LITERAL_PATHSPECS": "1"}

WorkTreeState = Literal["same", "changed", "missing"]
"""A file of the work tree compared with the commit."""


@dataclass(frozen=True, slots=True)
class CommittedFiles:
    """
    The files of a repository at a commit.

    Attributes:
        top: top level of the work tree.
        git_dir: git directory of the work tree.
        commit: id of the commit.
        env: environment for git.
    """

    top: Path
    git_dir: Path
    commit: str
    env: Mapping[str, str]

    @classmethod
    def of(cls, path: str | Path, rev: str, environ: Mapping[str, str]) -> CommittedFiles:
        """
        Find the commit *rev* of the repository that contains *path*.

        Raises:
            ProjectionError: there is no such repository or commit.
        """
        found = find_commit(path, rev, environ=environ)
        env = {**reading_environment(environ), **_LITERALLY}
        return cls(found.top, found.git_dir, f"{found.id}^{{commit}}", env)

    @property
    def repository(self) -> Path:
        """
        The git directory that all work trees of the repository share.
        """
        return shared_dir(self.git_dir)

    def read(self, name: str, *, limit: int) -> bytes | None:
        """
        Return the content of a file; `None` if the commit has no such path.

        Args:
            name: path from the top of the repository.
            limit: largest accepted size in bytes.

        Raises:
            ProjectionError: the path leads out of the repository, is no file, or is too
                large; or the object is missing.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise ProjectionError(f"{name} is not a path inside the repository")
        options = ("ls-tree", "-z", "--long", "--full-tree", self.commit, "--", str(path))
        listed = os.fsdecode(git(*inside(self.git_dir), *options, env=self.env))
        if not listed:
            self._refuse_links_above(path)
            return None
        facts, _, _ = listed.removesuffix("\0").partition("\t")
        mode, kind, blob, size = facts.split()
        if kind != "blob" or mode == "120000":
            what = "a link" if mode == "120000" else "not a file"
            raise ProjectionError(f"{name} is {what} in the commit; only a regular file is read")
        if size.isdecimal() and int(size) > limit:
            raise ProjectionError(f"{name} is larger than the limit of {limit} bytes")
        return git(*inside(self.git_dir), "cat-file", "blob", blob, env=self.env)

    def has(self, name: str) -> bool:
        """
        Check whether the commit has a path of this name.
        """
        options = ("ls-tree", "-z", "--full-tree", self.commit, "--", name)
        return bool(git(*inside(self.git_dir), *options, env=self.env))

    def _refuse_links_above(self, path: PurePosixPath) -> None:
        above = [str(one) for one in path.parents][:-1]
        if above:
            options = ("ls-tree", "-z", "--full-tree", self.commit, "--", *above)
            listed = os.fsdecode(git(*inside(self.git_dir), *options, env=self.env))
            if any(entry.startswith("120000 ") for entry in listed.split("\0")):
                raise ProjectionError(f"{path} leads through a link; only a regular file is read")

    def compare(self, name: str, content: bytes | None) -> WorkTreeState:
        """
        Compare the file of the work tree with the *content* in the commit (`None`: not there).
        """
        try:
            with open(self.top / name, "rb", opener=_open_quickly) as file:
                regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                found = file.read(len(content or b"") * 2 + 1) if regular else b""
        except FileNotFoundError:
            return "same" if content is None else "missing"
        except OSError:
            return "changed"
        if content is None or not regular:
            return "changed"
        # Git may have converted line ends.
        return "same" if _unix(found) == _unix(content) else "changed"


def _open_quickly(path: str, flags: int) -> int:
    # Not through a link, and without waiting for the writer of a pipe.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _unix(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")
