"""A commit on top of another one, in a temporary repository: nothing of the user's is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..errors import ProjectionError
from ..projection.borrow import borrow, create_bare
from ..projection.git import git, inside, isolated_environment
from ..projection.repository import RepositorySnapshot

__all__ = ["newer_commit"]

_NAME, _ADDRESS = "codex-workspace check", "check@codex-workspace.invalid"
_MESSAGE = "An empty commit, as a task would start from a later one\n"
_SECONDS = 300.0


@contextmanager
def newer_commit(
    snapshot: RepositorySnapshot, environ: Mapping[str, str]
) -> Iterator[RepositorySnapshot]:
    """
    Yield the repository at an empty commit on top of that of *snapshot*.

    Its objects are in a temporary repository that borrows those of the user's, and is removed at
    the end.

    Args:
        snapshot: the repository.
        environ: the environment for git.

    Raises:
        ProjectionError: git failed.
    """
    source = snapshot.common_dir
    with tempfile.TemporaryDirectory(prefix="codex-newer-") as directory:
        home = Path(directory)
        bare = home / "repository.git"
        create_bare(bare, snapshot.object_format, snapshot.head)
        env = isolated_environment(environ, home)
        borrow(bare, source, env)  # For the boundary of a shallow clone.
        _lend(bare, source / "objects")
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", _NAME), ("EMAIL", _ADDRESS))
        }
        made = git(
            *(*inside(bare), "commit-tree", f"{snapshot.head}^{{tree}}", "-p", snapshot.head),
            input=_MESSAGE.encode(),
            env={**env, **who},
            timeout=_SECONDS,
        )
        yield replace(snapshot, git_dir=bare, common_dir=bare, head=made.decode().strip())


def _lend(bare: Path, objects: Path) -> None:
    """
    Let *bare* have the objects of another repository, for whoever borrows from it, too.
    """
    (bare / "objects" / "info").mkdir(parents=True)
    line = os.fsencode(objects)
    if b"\n" in line:
        raise ProjectionError(
            f"no commit can be made on top of {objects}: its path has a line end",
            remedy="Move the clone.",
        )
    (bare / "objects" / "info" / "alternates").write_bytes(line + b"\n")
