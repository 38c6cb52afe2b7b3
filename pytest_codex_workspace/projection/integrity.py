"""Check that all objects of a commit and its history are in a clone."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProjectionError
from ..text.phrases import first_of
from .borrow import borrow, create_bare
from .git import inside, isolated_environment, run_git

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .repository import RepositorySnapshot
    from .submodules import Submodule

__all__ = ["Damage", "check_integrity", "damage_error", "find_damage"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Damage:
    """
    Objects of a commit that are missing or cannot be read.

    Attributes:
        files: path and object id of each file and directory of the commit; none if
            something else is missing.
        said: git's own message.
    """

    files: tuple[tuple[str, str], ...]
    said: str = ""

    def __str__(self) -> str:
        """
        Return what is missing, as the beginning of a sentence.
        """
        if not self.files:
            return f"objects ({self.said})" if self.said else "objects"
        return first_of([f"{path} (object {name})" for path, name in self.files], _SHOWN)


def check_integrity(
    snapshot: RepositorySnapshot, environ: Mapping[str, str], *, timeout: float
) -> None:
    """
    Check the objects of a snapshot's commit and its history, and those of its submodules.

    Whether an object exists is checked, and not all of its content.

    Args:
        snapshot: the result of `open_repository`.
        environ: environment for git.
        timeout: limit in seconds of each of the three steps for a repository.

    Raises:
        ProjectionError: objects are missing.
        TimeoutError: the history is too long to be checked in time; what was checked is whole.
    """
    found = [(snapshot.path, snapshot.common_dir, snapshot.head)]
    found += _of_submodules(snapshot.path, snapshot.submodules)
    late = None
    for shown, source, commit in found:
        with tempfile.TemporaryDirectory(prefix="codex-integrity-") as directory:
            bare = Path(directory) / "0.git"
            create_bare(bare, snapshot.object_format, commit)
            env = borrow(bare, source, isolated_environment(environ, Path(directory)))
            try:
                damage = find_damage(bare, commit, env, timeout=timeout)
            except TimeoutError as error:
                late, damage = error, None
        if damage is not None:
            raise damage_error(shown, source, commit, damage)
    if late is not None:
        raise late


def _of_submodules(
    above: Path, submodules: tuple[Submodule, ...]
) -> Iterator[tuple[Path, Path, str]]:
    for one in submodules:
        yield above / one.path, one.git_dir, one.commit
        yield from _of_submodules(above / one.path, one.submodules)


def find_damage(
    bare: Path, commit: str, env: Mapping[str, str], *, timeout: float
) -> Damage | None:
    """
    Look for objects that are missing in a commit and its history.

    Args:
        bare: a repository that borrows the objects.
        commit: full commit id.
        env: the result of `borrow`.
        timeout: limit in seconds of each of the three steps.

    Returns:
        The missing files of the commit if there are any, otherwise what else is missing.

    Raises:
        TimeoutError: there was not enough time.
    """
    try:
        # If a directory is missing, the entries before it are printed nevertheless.
        tree = run_git(
            *(*inside(bare), "ls-tree", "-r", "-t", "-z", "--full-tree", commit),
            env=env,
            timeout=timeout,
        )
        entries = list(_entries(os.fsdecode(tree.stdout)))
        asked = "".join(f"{name}\n" for _, name in entries).encode()
        known = run_git(
            *(*inside(bare), "cat-file", "--batch-check=%(objectname) %(objecttype)"),
            input=asked,
            env=env,
            timeout=timeout,
        )
        answers = known.stdout.decode("ascii", "replace").splitlines()
        missing = tuple(
            entry
            for entry, answer in zip(entries, answers, strict=False)
            if answer.endswith(" missing")
        )
        if missing or tree.code or known.code:
            return Damage(missing, tree.stderr or known.stderr)
        history = run_git(
            *(*inside(bare), "rev-list", "--objects", "--quiet", commit), env=env, timeout=timeout
        )
    except ProjectionError as error:
        raise TimeoutError(str(error)) from None
    return Damage((), history.stderr.splitlines()[-1]) if history.code else None


def damage_error(shown: Path, source: Path, commit: str, damage: Damage) -> ProjectionError:
    """
    Return the error for a commit that is not whole.

    Args:
        shown: work tree of the repository.
        source: its git directory.
        commit: full commit id.
        damage: what is missing.
    """
    place = shlex.quote(str(shown))
    if any((source / "objects/pack").glob("*.promisor")):
        return ProjectionError(
            f"{shown} is a partial clone and lacks {damage} of commit {commit}, and nothing is "
            "fetched automatically",
            remedy=f"Fetch the rest with git -C {place} fetch --refetch --no-filter origin",
        )
    has_remote = re.search(rb"^\[remote ", _config(source), re.MULTILINE) is not None
    restore = f", and git -C {place} fetch --refetch fetches them again" if has_remote else ""
    return ProjectionError(
        f"the clone {shown} is damaged: it lacks {damage} of commit {commit}",
        remedy=f"git -C {place} fsck lists all missing and damaged objects{restore}",
    )


def _entries(listed: str) -> Iterator[tuple[str, str]]:
    for entry in listed.split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        _, kind, name = facts.split(" ")
        if kind != "commit":
            yield path, name


def _config(source: Path) -> bytes:
    try:
        with (source / "config").open("rb") as file:
            return file.read(1 << 16)
    except OSError:
        return b""
