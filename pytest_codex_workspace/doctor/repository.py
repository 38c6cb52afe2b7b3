"""Checks of the repository."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError, PolicyError, ProjectionError
from ..options.committed_file import read_committed
from ..options.config import Config
from ..options.sources import FILE
from ..projection.git import inside, reading_environment, run_git
from ..projection.integrity import check_integrity
from ..projection.repository import RepositorySnapshot, open_repository, skips_submodules
from ..projection.work_tree import describe_place, find_changes
from ..text.phrases import counted
from .result import Result, error, from_error, ok, some, warning

__all__ = [
    "changes",
    "commit",
    "configuration",
    "objects",
    "place",
    "submodules",
    "without_submodules",
]

_TIMEOUT = 5.0
_OBJECTS_TIMEOUT = 2.0


def without_submodules(path: Path, rev: str, environ: Mapping[str, str]) -> RepositorySnapshot:
    """
    Open the repository without its submodules, which other checks look at.

    Raises:
        ProjectionError: the repository cannot be projected.
    """
    return open_repository(path, rev, environ={**environ, "CODEX_SKIP_SUBMODULES": "1"})


def configuration(config: Config, problem: ConfigError | PolicyError | None) -> Result:
    """
    Check the options in the repository's file and in the environment.
    """
    if problem is not None:
        result = from_error(problem)
        remedy = "Correct the value; `codex-workspace config` prints the source of each option."
        return result if problem.remedy else error(result.text, remedy)
    if config.repo_config == "ignore":
        return ok(f"{FILE} is ignored")
    if config.notes:
        return warning("; ".join(config.notes), "Commit the file, or restore it with git.")
    file = read_committed(config.repo or ".", config.rev, os.environ)
    return ok(f"{FILE} is valid" if file and file.path else f"no {FILE}")


def commit(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Report the commit that is projected.
    """
    env = reading_environment(environ)
    at = run_git(*inside(snapshot.git_dir), "symbolic-ref", "--short", "-q", "HEAD", env=env).stdout
    branch = os.fsdecode(at).strip() or "no branch"
    return ok(f"{snapshot.name} at {snapshot.head[:12]}; HEAD is on {branch}")


def place(path: Path, snapshot: RepositorySnapshot) -> Result | None:
    """
    Check whether the directory that the user named is the top of a repository.
    """
    text = describe_place(path.expanduser().resolve(), snapshot.path)
    if not text:
        return None
    return warning(text, f"Give {snapshot.path}, and keep scripts and options at its top.")


def changes(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Check for changes in the work tree that are not committed.
    """
    try:
        found = find_changes(snapshot.path, environ, timeout=_TIMEOUT)
    except ProjectionError as problem:
        # The check is slow for a large work tree, but a workspace does not need it.
        return replace(from_error(problem), status="warning")
    parts = [
        counted(len(names), noun)
        for names, noun in (
            (found.changed, "uncommitted change"),
            (found.untracked, "untracked file"),
        )
        if names
    ]
    if not parts:
        return ok("everything is committed")
    return warning(
        f"{' and '.join(parts)}, not included in the workspace: "
        f"{some([*found.changed, *found.untracked])}",
        "Run git add and git commit for the files that the workspace needs.",
    )


def objects(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Check that all objects of the commit and its history are in the clone, and those of its
    submodules.

    Raises:
        ProjectionError: objects are missing.
    """
    whole = snapshot
    with suppress(ProjectionError):  # Another check reports a missing submodule.
        whole = open_repository(snapshot.path, snapshot.head, environ=environ)
    try:
        check_integrity(whole, environ, timeout=_OBJECTS_TIMEOUT)
    except TimeoutError:
        return ok(f"none missing, as far as {_OBJECTS_TIMEOUT:g} s were enough to look")
    return ok("none missing")


def submodules(path: Path, rev: str, environ: Mapping[str, str]) -> Result:
    """
    Check that the commit of each submodule is in the clone.

    Raises:
        ProjectionError: a commit is missing.
    """
    if skips_submodules(environ):
        return ok("skipped, because CODEX_SKIP_SUBMODULES is set")
    found = [one.path for one in open_repository(path, rev, environ=environ).submodules]
    return ok(f"in the clone: {some(found)}" if found else "none")
