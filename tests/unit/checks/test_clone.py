"""Reading a commit of a clone."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.checks.clone import Clone
from pytest_codex_workspace.errors import ProjectionError

from ...helpers.repositories import Repository, fingerprint, host_environment

pytestmark = pytest.mark.needs_git


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path / "demo", host_environment(tmp_path / "home"))


def test_the_files_are_those_of_the_commit(repo):
    """
    Not those of the work tree, and not of a submodule; nothing changes.
    """
    repo.commit({"a": "1", "d/ü b": "2", "empty": ""})
    (repo.path / "a").write_text("changed")
    (repo.path / "new").write_text("new")
    before = fingerprint(repo.path)

    clone = Clone.of(repo.path / "d", "HEAD", repo.env)
    tree = clone.tree()

    assert {"a", "d/ü b", "empty"} == set(tree.files)
    assert ["1", "2", ""] == [tree.text(path) for path in ("a", "d/ü b", "empty")]
    assert (repo.path, True, False) == (clone.top, clone.is_head, clone.shallow)
    assert before == fingerprint(repo.path)


def test_another_commit(repo):
    """
    A tag leads to it.
    """
    repo.commit({"a": "1"})
    repo.git("tag", "-a", "v1", "-m", "x")
    repo.commit({"a": "2"})

    clone = Clone.of(repo.path, "v1", repo.env)

    assert ("1", False) == (clone.tree().text("a"), clone.is_head)


def test_an_object_that_is_missing(repo):
    """
    The file has no text; the doctor says that the clone is damaged.
    """
    repo.commit({"a": "1\n", "b": "2\n"})
    blob = repo.git("rev-parse", "HEAD:a")
    tree = Clone.of(repo.path, "HEAD", repo.env).tree()
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()

    assert ["", "2\n"] == [text for _, text in tree.texts(["a", "b"])]


def test_no_repository(tmp_path):
    """
    The error is that of the projection.
    """
    with pytest.raises(ProjectionError, match="not in a git repository"):
        Clone.of(tmp_path, "HEAD", host_environment(tmp_path / "home"))
