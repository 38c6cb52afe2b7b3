"""Tests of which clones share a setup."""

from __future__ import annotations

import os

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.projection.repository import open_repository
from pytest_codex_workspace.setup.scope import scope_of

from ...conftest import commit, git

pytestmark = pytest.mark.needs_git


def scope(choice, repo, rev="HEAD"):
    return scope_of(choice, open_repository(repo, rev, environ=os.environ), rev, os.environ)


@pytest.mark.slow
def test_scopes_tell_clones_apart(make_repo, tmp_path):
    """
    A fork has the same root commit, and another path, remote and branch.
    """
    repo, fork = make_repo(), tmp_path / "fork" / "demo"
    git(tmp_path, "clone", "--quiet", str(repo), str(fork))
    git(fork, "checkout", "--quiet", "-b", "theirs")
    git(repo, "remote", "add", "origin", "https://me:secret@example.com/demo.git")

    assert ["", ""] == [scope("repository", one) for one in (repo, fork)]
    assert ["name:x", "name:x"] == [scope("name:x", one) for one in (repo, fork)]
    assert [f"path {one}" for one in (repo, fork)] == [scope("path", one) for one in (repo, fork)]
    assert "remote https://example.com/demo" == scope("remote", repo)
    assert f"remote {repo}" == scope("remote", fork)
    names = ["branch refs/heads/main", "branch refs/heads/theirs"]
    assert names == [scope("branch", one) for one in (repo, fork)]
    assert "branch theirs" == scope("branch", fork, "theirs")

    head = commit(fork, {"a": "1"})
    git(fork, "checkout", "--quiet", "--detach")
    git(fork, "remote", "remove", "origin")
    assert f"branch {head}" == scope("branch", fork)
    with pytest.raises(ConfigError, match=r"no remote 'origin'.*=path"):
        scope("remote", fork)
