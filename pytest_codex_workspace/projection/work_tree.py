"""Notes about what the user sees in the work tree, and a workspace does not have."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..codex import CONFIG_FILE, SCRIPTS, SETUP
from ..errors import ProjectionError
from ..text.phrases import first_of
from .committed_files import CommittedFiles
from .git import configured, git, reading_environment, run_git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Changes", "describe_place", "find_changes", "notes_on"]

_SHOWN = 5
_FILTERS = r"^filter\..*\.(clean|process|required)$"
_OWN = ("local", "worktree")


@dataclass(frozen=True, slots=True)
class Changes:
    """
    The paths of a work tree that differ from its HEAD.

    Attributes:
        changed: paths that are in HEAD or in the index.
        untracked: other paths that git does not ignore; a directory ends in a slash.
    """

    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()

    def __str__(self) -> str:
        """
        Return one line with the numbers, the remedy and some of the names.
        """
        parts = [
            f"{len(names)} {kind}"
            for names, kind in ((self.changed, "changed"), (self.untracked, "untracked"))
            if names
        ]
        names = (*self.changed, *self.untracked)
        last = len(self.untracked or self.changed)
        return (
            f"{', '.join(parts)} {'file' if last == 1 else 'files'} "
            f"{'is' if len(names) == 1 else 'are'} not in the workspace (git add, git commit): "
            f"{first_of(names, _SHOWN)}"
        )


def find_changes(top: Path, environ: Mapping[str, str], *, timeout: float) -> Changes:
    """
    Compare a work tree with its HEAD. Nothing that the repository configures is run.

    Args:
        top: top level of the work tree.
        environ: environment for git.
        timeout: limit in seconds.

    Raises:
        ProjectionError: git failed, or needed more than *timeout* seconds.
    """
    env = reading_environment(environ)
    listed = git(
        *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal"),
        # Git would run in the work trees of submodules, with their configuration.
        "--ignore-submodules=dirty",
        cwd=top,
        env=configured(env, _without_own_filters(top, env, timeout)),
        timeout=timeout,
    )
    entries = [entry for entry in os.fsdecode(listed).split("\0") if entry]
    return Changes(
        tuple(entry[3:] for entry in entries if not entry.startswith("??")),
        tuple(entry[3:] for entry in entries if entry.startswith("??")),
    )


def _without_own_filters(top: Path, env: Mapping[str, str], timeout: float) -> dict[str, str]:
    """
    Return the configuration that switches off the filters which the repository itself configures.
    Those of the user's own configuration, such as git-lfs, stay.
    """
    options = ("config", "--show-scope", "-z", "--name-only", "--get-regexp", _FILTERS)
    listed = run_git(*options, cwd=top, env=env, timeout=timeout)
    if listed.code not in (0, 1):  # 1: there are none.
        raise ProjectionError(f"git config failed: {listed.stderr}")
    words = os.fsdecode(listed.stdout).split("\0")
    names = [name for scope, name in zip(words[::2], words[1::2], strict=False) if scope in _OWN]
    return {name: "false" if name.endswith(".required") else "" for name in names}


def notes_on(
    path: str | Path, rev: str, environ: Mapping[str, str], *, timeout: float = 1.0
) -> list[str]:
    """
    Return lines about what a workspace of a repository lacks, for the user.

    Args:
        path: the directory that the user named.
        rev: the commit. The work tree is compared with HEAD only.
        environ: environment for git.
        timeout: seconds after which nothing is said about changes, in a large work tree.

    Returns:
        The lines; none if there is no such repository, which is reported elsewhere.
    """
    try:
        files = CommittedFiles.of(path, rev, environ)
        line = describe_place(Path(path).expanduser().resolve(), files.top)
    except ProjectionError:
        return []
    notes = [line] if line else []
    if rev == "HEAD":
        with suppress(ProjectionError):
            changes = find_changes(files.top, environ, timeout=timeout)
            notes += [str(changes)] if changes != Changes() else []
            notes += _scripts(files, (*changes.changed, *changes.untracked))
    return notes


def describe_place(directory: Path, top: Path) -> str:
    """
    Return a line about a directory that the user named, and that is not the top of its repository.
    """
    if directory == top or not directory.is_relative_to(top):
        return ""
    below = directory.relative_to(top)
    line = f"{below} is a directory of the repository {top}, all of which is copied"
    own = [name for name in (f"{SCRIPTS}/", CONFIG_FILE) if (directory / name).exists()]
    if own:
        names = " and ".join(f"{below}/{name}" for name in own)
        verb = "is" if len(own) == 1 else "are"
        line += f"; {names} {verb} not used: only what is at the top"
    return line


def _scripts(files: CommittedFiles, changes: Sequence[str]) -> list[str]:
    """
    Return a line if the user may expect other scripts to run than those of the commit.
    """
    if not any(name.startswith(f"{SCRIPTS}/") for name in changes):
        return []
    if files.has(SETUP):
        return [f"{SCRIPTS}/ has changes that are not committed: the committed scripts run"]
    return [f"{SCRIPTS}/ is not committed, so no script of it runs"]
