"""Bare repositories that borrow the objects of another one, and nothing else of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["borrow", "create_bare"]


def create_bare(bare: Path, object_format: str, commit: str) -> None:
    """
    Create a repository like `git init`, but without the machine's configuration.

    Args:
        bare: the git directory to create.
        object_format: `sha1` or `sha256`.
        commit: the commit of its only branch.
    """
    (bare / "objects/pack").mkdir(parents=True)
    (bare / "refs/heads").mkdir(parents=True)
    (bare / "refs/heads/work").write_text(f"{commit}\n")
    (bare / "HEAD").write_text("ref: refs/heads/work\n")
    config = "[core]\n\tbare = true\n\trepositoryformatversion = "
    if object_format == "sha1":
        config += "0\n"
    else:
        config += f"1\n[extensions]\n\tobjectformat = {object_format}\n"
    (bare / "config").write_text(config)


def borrow(bare: Path, source: Path, env: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment in which git sees the objects of *source* in *bare*.

    Without the references, configuration, grafts and replacements of *source*, nothing
    but a given commit can be read, and objects that a partial clone lacks cannot be
    fetched. The boundary of a shallow clone is copied.

    Args:
        bare: a repository that `create_bare` has created.
        source: git directory of the user's repository.
        env: the result of `isolated_environment`.
    """
    boundary = source / "shallow"
    if boundary.exists():
        shutil.copyfile(boundary, bare / "shallow")
    return {**env, "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(source / "objects")}


def _quoted(path: Path) -> str:
    """
    Quote *path* as an entry of a list of object directories.
    """
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
