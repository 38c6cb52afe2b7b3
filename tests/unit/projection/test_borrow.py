"""Tests of repositories that borrow objects. `test_pack` copies from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.projection.borrow import borrow, create_bare
from pytest_codex_workspace.projection.git import git, inside, isolated_environment, run_git

from ...helpers.repositories import Repository, host_environment


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_only_objects_are_borrowed(tmp_path: Path, object_format: str) -> None:
    """
    Names with quotes and line ends are no obstacle, and references stay behind.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / 'a "b\\\n:c', env, f"--object-format={object_format}")
    repo.commit({"a": "1"})
    repo.git("tag", "mine")
    bare = tmp_path / "bare"

    create_bare(bare, object_format, repo.head())
    found = borrow(bare, repo.path / ".git", isolated_environment(env, tmp_path))

    assert git(*inside(bare), "cat-file", "blob", "HEAD:a", env=found) == b"1"
    assert run_git(*inside(bare), "rev-parse", "--verify", "mine", env=found).code
    assert not (bare / "shallow").exists()
