"""Tests of remembering what the user trusts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import CodexWorkspaceError
from pytest_codex_workspace.host.trusted_files import TrustedFiles, trust_dir


@pytest.fixture
def trusted(tmp_path: Path) -> TrustedFiles:
    """
    Return an empty memory.
    """
    return TrustedFiles(tmp_path / "trusted")


def test_a_digest_is_trusted_in_its_repository(trusted: TrustedFiles, tmp_path: Path) -> None:
    """
    Only the user can read what is remembered.
    """
    assert not trusted.has(Path("/a/.git"), "1")
    entry = trusted.add(Path("/a/.git"), "1")

    assert trusted.has(Path("/a/.git"), "1")
    assert not trusted.has(Path("/a/.git"), "2")
    assert not trusted.has(Path("/b/.git"), "1")
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "trusted").stat().st_mode) == 0o700


def test_a_repository_is_forgotten(trusted: TrustedFiles) -> None:
    """
    All its contents are, and no other repository.
    """
    for repository, digest in (("/a", "1"), ("/a", "2"), ("/b", "1")):
        trusted.add(Path(repository), digest)

    assert trusted.forget(Path("/a")) == 2
    assert trusted.forget(Path("/a")) == 0
    assert not trusted.has(Path("/a"), "1")
    assert trusted.has(Path("/b"), "1")


def test_what_others_can_write_is_not_trusted(trusted: TrustedFiles, tmp_path: Path) -> None:
    """
    Neither the directory nor an entry may be writable by others, or a link.
    """
    entry = trusted.add(Path("/a"), "1")
    entry.chmod(0o622)
    assert not trusted.has(Path("/a"), "1")
    entry.chmod(0o600)
    (tmp_path / "trusted").chmod(0o777)
    assert not trusted.has(Path("/a"), "1")
    (tmp_path / "trusted").chmod(0o700)
    entry.rename(tmp_path / "moved")
    entry.symlink_to(tmp_path / "moved")
    assert not trusted.has(Path("/a"), "1")


def test_a_directory_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    """
    The error names the variable that chooses another one.
    """
    (tmp_path / "file").touch()

    with pytest.raises(CodexWorkspaceError, match="Set XDG_DATA_HOME to a directory"):
        TrustedFiles(tmp_path / "file/trusted").add(Path("/a"), "1")
    assert TrustedFiles(tmp_path / "file/trusted").forget(Path("/a")) == 0


def test_the_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A relative path in the variable has no effect, as in the standard of these variables.
    """
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert trust_dir() == Path("/data/codex-workspace/trusted")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert trust_dir() == Path(os.path.expanduser("~")) / ".local/share/codex-workspace/trusted"  # noqa: PTH111
