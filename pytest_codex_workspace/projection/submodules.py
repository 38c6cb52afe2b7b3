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

_LONGEST_LINK = 1 << 16

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
        for candidate in _candidates(work_tree, path, name, git_dir, common_dir):
            has_commit, has_submodules = _has(candidate, at, env)
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
                work_tree / path, at, git_dir=candidate, common_dir=candidate, env=env
            )
        found.append(Submodule(path, name, at, candidate, below))
    return tuple(found)


def _names(work_tree: Path, commit: str, git_dir: Path, env: Mapping[str, str]) -> dict[str, str]:
    """
    Return the names of the submodules by path.
    """
    # Not `config --blob`, which stops reading at the byte 0xFF.
    content = git(*inside(git_dir), "cat-file", "blob", f"{commit}:.gitmodules", env=env)
    # Git includes other files by default if it reads standard input.
    listed = run_git(
        *(*inside(git_dir), "config", "--file=-", "--no-includes", "-z", "--list"),
        input=content,
        cwd=git_dir,
        env=env,
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


def _candidates(
    work_tree: Path, path: str, name: str, git_dir: Path, common_dir: Path
) -> Iterator[Path]:
    """
    Yield the git directories that may hold the submodule at *path*.

    The first is the one that its work tree names, or contains in the layout of old
    versions of git; then come the places where git keeps submodules. All are in
    the git directory or the work tree of the parent, with no link on the way:
    the repository names the path, and a link there would lead to any other
    repository of this machine.
    """
    own = Path(os.path.realpath(work_tree)) / path / ".git"
    if os.path.realpath(own) == str(own):
        if own.is_dir():
            if not (own / "commondir").exists():
                yield work_tree / path / ".git"
        elif own.is_file():
            with own.open("rb") as file:
                link = os.fsdecode(file.read(_LONGEST_LINK)).rstrip("\r\n")
            named = Path(os.path.normpath(own.parent / link.removeprefix("gitdir: ")))
            if _is_inside(named, common_dir):
                yield shared_dir(named)
    for parent in dict.fromkeys((git_dir, common_dir)):
        if _is_inside(parent / "modules" / name, common_dir):
            yield shared_dir(parent / "modules" / name)


def _is_inside(git_dir: Path, common_dir: Path) -> bool:
    """
    Check whether *git_dir* and the objects that it shares are in the git directory *common_dir*.
    """
    above = os.path.realpath(common_dir)
    return all(
        Path(os.path.realpath(one)).is_relative_to(above)
        for one in (git_dir, git_dir / "objects", shared_dir(git_dir))
    )


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
