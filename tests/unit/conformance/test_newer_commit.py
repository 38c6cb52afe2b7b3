"""A commit on top of the user's, which is not written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.conformance.newer_commit import newer_commit
from pytest_codex_workspace.projection.archive import Projection
from pytest_codex_workspace.projection.repository import open_repository

from ...conftest import commit, git

pytestmark = pytest.mark.needs_git


def contents(top: Path) -> dict[Path, bytes]:
    """
    Return every file below a directory.
    """
    return {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize("shallow", [False, True], ids=["whole", "shallow"])
def test_the_commit_is_empty_and_can_be_projected(make_repo, tmp_path, shallow):
    """
    Its tree is the same and its parent is HEAD, and all that it needs is found from its repository.
    """
    repo = make_repo()
    commit(repo, {"second": "2\n"})
    if shallow:
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", "clone")
        repo = tmp_path / "clone"
    snapshot = open_repository(repo, environ=os.environ)
    before = contents(repo)

    with newer_commit(snapshot, os.environ) as newer:
        tree, parent = git(newer.git_dir, "log", "-1", "--format=%T %P", newer.head).split()
        projection = Projection.of(newer)
        projection.close()

    assert (tree, parent) == (git(repo, "rev-parse", "HEAD^{tree}"), snapshot.head)
    assert newer.head != snapshot.head
    assert (newer.name, newer.identity, newer.scripts_tree) == (
        snapshot.name,
        snapshot.identity,
        snapshot.scripts_tree,
    )
    assert contents(repo) == before
    assert not newer.git_dir.exists()
