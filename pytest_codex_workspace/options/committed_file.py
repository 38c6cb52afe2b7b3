"""The repository's `.codex-workspace.yaml`, as it is in the commit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import ConfigError, ProjectionError
from ..projection.committed_files import CommittedFiles, WorkTreeState
from .sources import FILE, Values

__all__ = ["CommitReader", "RepositoryFile", "read_committed", "read_from"]

_LARGEST = 64 * 1024


class CommitReader(Protocol):
    """
    The files of a commit. `CommittedFiles` has them.
    """

    @property
    def top(self) -> Path:
        """Top level of the work tree."""

    @property
    def repository(self) -> Path:
        """The git directory that all work trees of the repository share."""

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Return the content of a file; `None` if there is none."""

    def compare(self, name: str, content: bytes | None) -> WorkTreeState:
        """Compare the file of the work tree with *content*."""


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """
    A configuration file with what belongs to it.

    Attributes:
        top: top level of the work tree.
        path: path in the work tree; `None` if the commit has no such file.
        values: the values in it.
        digest: digest of the file and of the policy files that it names.
        repository: git directory of the repository.
        notes: what the user should know: uncommitted changes are not applied.
    """

    top: Path
    path: Path | None
    values: Values
    digest: str
    repository: Path
    notes: tuple[str, ...] = ()


def read_committed(repo: str | Path, rev: str, environ: Mapping[str, str]) -> RepositoryFile | None:
    """
    Read the configuration file of a repository at a commit.

    Args:
        repo: a directory in the repository.
        rev: the commit.
        environ: environment for git.

    Returns:
        The file; `None` if there is no such repository or commit, which the code that
        opens the repository reports.

    Raises:
        ConfigError: the file cannot be used.
    """
    try:
        files = CommittedFiles.of(repo, rev, environ)
    except ProjectionError:
        return None
    return read_from(files, "HEAD" if rev == "HEAD" else "", rev)


def read_from(files: CommitReader, compared: str = "HEAD", rev: str = "HEAD") -> RepositoryFile:
    """
    Read the configuration file among *files*.

    Args:
        files: the files of the commit.
        compared: compare them with the work tree, unless this is empty.
        rev: the commit, for texts.

    Raises:
        ConfigError: the file cannot be used.
    """
    path = files.top / FILE
    contents: dict[str, bytes] = {}

    def read(name: str) -> bytes | None:
        content = files.read(name, limit=_LARGEST)
        if content is not None:
            contents[name] = content
        return content

    try:
        other = FILE.replace(".yaml", ".yml")
        if files.read(other, limit=_LARGEST) is not None:
            raise ConfigError(f"{files.top / other} is not read: rename it to {FILE}")
        data = read(FILE)
    except ProjectionError as error:
        raise ConfigError(
            f"the configuration file of {files.top} at {rev} cannot be read: {error.message}",
            remedy=error.remedy or f"Correct and commit {FILE}.",
        ) from None
    values: Values = {}
    if data is not None:
        from .repo_file import read_file  # A repository without a file needs no YAML.

        values = read_file(data, path, read)
    notes = _notes(files, {FILE: data, **contents}) if compared else ()
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return RepositoryFile(
        files.top,
        path if data is not None else None,
        values,
        digest.hexdigest(),
        files.repository,
        notes,
    )


def _notes(files: CommitReader, contents: Mapping[str, bytes | None]) -> tuple[str, ...]:
    found = []
    for name, content in contents.items():
        state = files.compare(name, content)
        if content is None and state != "same":
            found.append(f"{name} is not committed, so it does not apply (git add, git commit)")
        elif state != "same":
            what = "was removed" if state == "missing" else "has changes"
            found.append(
                f"{name} {what} in the work tree, which is not committed: the file of HEAD "
                "applies (git add, git commit)"
            )
    other = FILE.replace(".yaml", ".yml")
    if files.compare(other, None) != "same":
        found.append(f"{other} is not read: rename it to {FILE} and commit it")
    return tuple(found)
