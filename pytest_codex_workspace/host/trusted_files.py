"""Files of repositories that the user trusts, remembered by their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import CodexWorkspaceError
from ..unpatched import clock
from .dirs import preferred_data_dir

__all__ = ["TrustedFiles", "trust_dir"]


def trust_dir() -> Path:
    """
    Return the directory that remembers what this user trusts. It may not exist.

    It is not below the cache directory, which anybody may empty or share, and has no
    substitute in the temporary directory.
    """
    return preferred_data_dir() / "trusted"


class TrustedFiles:
    """
    Remembers digests of contents, each for one repository.

    Another content, or the same content in another repository, is not trusted:
    the scripts that it would give more to are others.

    Args:
        directory: the directory to remember them in; `trust_dir()` if omitted.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or trust_dir()

    def has(self, repository: Path, digest: str) -> bool:
        """
        Check whether the user trusts a content in *repository*.
        """
        try:
            above, own = self._directory.lstat(), self._entry(repository, digest).lstat()
        except OSError:
            return False
        return all(
            one.st_uid == os.getuid() and not stat.S_ISLNK(one.st_mode) and not one.st_mode & 0o022
            for one in (above, own)
        )

    def add(self, repository: Path, digest: str) -> Path:
        """
        Trust a content in *repository*, and return the file that remembers it.

        Raises:
            CodexWorkspaceError: it cannot be written.
        """
        entry = self._entry(repository, digest)
        today = clock.date_today()
        text = json.dumps({"repository": str(repository), "sha256": digest, "date": today})
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            entry.write_text(text + "\n", "utf-8")
            entry.chmod(0o600)
        except OSError as error:
            raise CodexWorkspaceError(
                f"{entry} cannot be written: {error.strerror}",
                remedy="Set XDG_DATA_HOME to a directory that you can write to.",
            ) from None
        return entry

    def forget(self, repository: Path) -> int:
        """
        Trust no content in *repository* any more, and return how many were trusted.
        """
        found = [entry for entry in self._entries() if _repository_of(entry) == str(repository)]
        for entry in found:
            entry.unlink(missing_ok=True)
        return len(found)

    def _entry(self, repository: Path, digest: str) -> Path:
        name = os.fsencode(repository) + b"\0" + digest.encode()
        return self._directory / hashlib.sha256(name).hexdigest()

    def _entries(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from sorted(self._directory.iterdir())


def _repository_of(entry: Path) -> str:
    try:
        return str(json.loads(entry.read_text("utf-8"))["repository"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
