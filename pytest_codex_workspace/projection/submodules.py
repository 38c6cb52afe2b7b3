"""Find the submodules of a commit on the host."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..errors import ProjectionError
from .git import git, inside, run_git, shared_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Submodule", "find_submodules"]

_SKIP = "set CODEX_SKIP_SUBMODULES=1 to skip submodules"


@dataclass(frozen=True, slots=True)
class Submodule:
    """
    A submodule at the commit that its parent names.

    Attributes:
        path: path in the parent's work tree, decoded like `os.fsdecode`.
        name: name in the parent's `.gitmodules`, decoded like `os.fsdecode`.
        commit: full commit id.
        git_dir: a git directory on the host that has the commit.
        submodules: direct submodules of this submodule.
    """

    path: str
    name: str
    commit: str
    git_dir: Path
    submodules: tuple[Submodule, ...]


def find_submodules(
    work_tree: Path,
    commit: str,
    *,
    git_dir: Path,
    common_dir: Path,
    env: Mapping[str, str],
) -> tuple[Submodule, ...]:
    """
    Return the submodules of a commit, recursively.

    As in `git submodule update`, a path without an entry in `.gitmodules` is
    skipped, and so is an entry with `update = none`.

    Args:
        work_tree: work tree of the parent; it need not exist.
        commit: commit of the parent, which has a `.gitmodules` file.
        git_dir: git directory of the parent.
        common_dir: the same directory, or for a linked worktree that of the
            repository.
        env: the result of `reading_environment`.

    Raises:
        ProjectionError: the commit of a submodule is not on the host.
    """
    names = _names(work_tree, commit, git_dir, env)
    found = []
    for path, at in _commits(list(names), commit, git_dir, env):
        name = names[path]
        for candidate in _candidates(work_tree / path, name, git_dir, common_dir):
            own_dir = shared_dir(candidate)
            has_commit, has_submodules = _has(own_dir, at, env)
            if has_commit:
                break
        else:
            place = shlex.quote(str(work_tree))
            raise ProjectionError(
                f"submodule {path!r} of {work_tree} is at commit {at}, which is not in the local "
                "clone",
                remedy=f"Run git -C {place} submodule update --init --recursive, or {_SKIP}.",
            )
        below: tuple[Submodule, ...] = ()
        if has_submodules:
            below = find_submodules(
                work_tree / path, at, git_dir=own_dir, common_dir=own_dir, env=env
            )
        found.append(Submodule(path, name, at, own_dir, below))
    return tuple(found)


def _names(work_tree: Path, commit: str, git_dir: Path, env: Mapping[str, str]) -> dict[str, str]:
    """
    Return the names of the submodules by path.
    """
    # Not `config --blob`, which stops reading at the byte 0xFF.
    content = git(*inside(git_dir), "cat-file", "blob", f"{commit}:.gitmodules", env=env)
    listed = run_git(
        *inside(git_dir), "config", "--file=-", "-z", "--list", input=content, cwd=git_dir, env=env
    )
    if listed.code:
        raise ProjectionError(
            f".gitmodules of {work_tree} at commit {commit} cannot be read: {listed.stderr}",
            remedy=f"Correct and commit the file, or {_SKIP}.",
        )
    paths: dict[str, str] = {}
    skipped = set()
    for entry in os.fsdecode(listed.stdout).split("\0"):
        key, _, value = entry.partition("\n")
        section, _, variable = key.rpartition(".")
        name = section.removeprefix("submodule.")
        # Git rejects such names as well: they lead out of .git/modules.
        if name == section or ".." in name.split("/") or name.startswith("/"):
            continue
        if variable == "path":
            paths.setdefault(name, value.rstrip("/"))
        elif variable == "update" and value == "none":
            skipped.add(name)
    return {
        path: name
        for name, path in paths.items()
        if name not in skipped and not {"", "..", "/"} & {path, *PurePosixPath(path).parts}
    }


def _commits(
    paths: list[str], commit: str, git_dir: Path, env: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """
    Yield the *paths* that are submodules in the tree, with their commits.
    """
    if not paths:
        return
    tree = git(*(*inside(git_dir), "ls-tree", "-z", "--full-tree", commit, "--", *paths), env=env)
    for entry in os.fsdecode(tree).split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        mode, _, at = facts.split(" ")
        if mode == "160000" and path in paths:
            yield path, at


def _candidates(place: Path, name: str, git_dir: Path, common_dir: Path) -> Iterator[Path]:
    """
    Yield the git directories that may hold the submodule.

    The first is the one that its work tree names, or contains in the layout of old
    versions of git; then come the places where git keeps submodules.
    """
    own = place / ".git"
    if own.is_file():
        link = os.fsdecode(own.read_bytes()).rstrip("\r\n").removeprefix("gitdir: ")
        yield Path(os.path.normpath(place / link))
    elif own.is_dir():
        yield own
    yield git_dir / "modules" / name
    if common_dir != git_dir:
        yield common_dir / "modules" / name


def _has(git_dir: Path, commit: str, env: Mapping[str, str]) -> tuple[bool, bool]:
    """
    Check whether the commit exists, and whether it has submodules.
    """
    asked = run_git(
        *(*inside(git_dir), "cat-file", "--batch-check=%(objecttype)"),
        input=f"{commit}\n{commit}:.gitmodules\n".encode(),
        env=env,
    )
    kinds = [line == b"commit" for line in asked.stdout.splitlines()]
    return kinds[:1] == [True], asked.stdout.splitlines()[1:] == [b"blob"]
