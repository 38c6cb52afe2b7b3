"""The configuration file of a directory without git, for tests of what is in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.options.committed_file import RepositoryFile, read_from
from pytest_codex_workspace.options.sources import ResolvedOptions

if TYPE_CHECKING:
    from pytest_codex_workspace.projection.committed_files import WorkTreeState

__all__ = ["DirectoryFiles", "read_directory", "resolve"]


@dataclass(frozen=True)
class DirectoryFiles:
    """
    A directory in place of a commit. `test_committed_files` reads real commits.
    """

    top: Path

    @property
    def repository(self) -> Path:
        """
        Return what stands for the git directory.
        """
        return self.top / ".git"

    def read(self, name: str, *, limit: int) -> bytes | None:
        """
        Return the content of a file.
        """
        path = self.top / name
        assert limit
        return path.read_bytes() if path.exists() else None

    def compare(self, name: str, content: bytes | None) -> WorkTreeState:
        """
        Return that nothing has changed.
        """
        assert (content is not None) == (self.top / name).exists()
        return "same"


def read_directory(repo: str | Path, rev: str = "HEAD") -> RepositoryFile:
    """
    Read the configuration file of a directory.
    """
    return read_from(DirectoryFiles(Path(repo)), rev, rev)


def resolve(repo: Path, **keywords: Any) -> ResolvedOptions:
    """
    Return the options of a run with the directory *repo*, whose file may ask for anything.
    """
    options = {"repo": str(repo), "repo_config": "trust", **keywords.pop("options", {})}
    settings = {"spell": "--{}", "environ": {}, "read": read_directory, **keywords}
    return ResolvedOptions.of(options, **settings)
