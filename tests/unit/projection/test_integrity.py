"""Tests of finding damage in clones: what is missing, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.archive import Projection
from pytest_codex_workspace.projection.integrity import check_integrity
from pytest_codex_workspace.projection.repository import RepositorySnapshot, open_repository

from ...helpers.repositories import Repository, host_environment


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """
    Create a repository with two commits.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({"a": "old", "dir/b": "b", "dir/c": "c", "d": "d", "e": "e"})
    repo.commit({"a": "new"})
    return repo


def lose(repo: Repository, *names: str, empty: bool = False) -> list[str]:
    """
    Remove objects, or empty their files, as a power cut does.
    """
    found = []
    for name in [repo.git("rev-parse", name) for name in names]:
        path = repo.path / ".git/objects" / name[:2] / name[2:]
        path.unlink()
        if empty:
            path.touch()
        found.append(name)
    return found


def opened(repo: Repository) -> RepositorySnapshot:
    """
    Return the repository at HEAD.
    """
    return open_repository(repo.path, environ=repo.env)


def said(repo: Repository) -> str:
    """
    Return the error of doctor, which is that of a run.
    """
    snapshot = opened(repo)
    with pytest.raises(ProjectionError) as checked:
        check_integrity(snapshot, repo.env, timeout=20)
    with pytest.raises(ProjectionError) as packed:
        Projection.of(snapshot, environ=repo.env)
    assert str(packed.value) == str(checked.value)
    return str(checked.value)


def test_a_whole_clone_passes(repo: Repository) -> None:
    """
    A commit of a submodule is elsewhere, and a shallow clone ends at its boundary.
    """
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    repo.git("commit", "--quiet", "--message=m")
    check_integrity(opened(repo), repo.env, timeout=20)

    url = f"file://{repo.path}"
    repo.git("clone", "--quiet", "--depth=1", url, repo.path.parent / "shallow")
    shallow = Repository(repo.path.parent / "shallow", repo.env)
    check_integrity(opened(shallow), repo.env, timeout=20)


@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_files_of_the_commit_are_named(repo: Repository, empty: bool) -> None:
    """
    A few of them, with their objects, and the commands that find the rest.
    """
    (first, *_) = lose(repo, "HEAD:a", "HEAD:d", "HEAD:dir/c", "HEAD:e", empty=empty)

    text = said(repo)

    assert f"the clone {repo.path} is damaged: it lacks a (object {first}), d (object " in text
    assert " and 1 more of commit " in text
    assert f"git -C {repo.path} fsck lists all missing and damaged objects" in text
    assert "fetch" not in text


def test_a_missing_directory_is_named(repo: Repository) -> None:
    """
    Its files are not known then.
    """
    (tree,) = lose(repo, "HEAD:dir")
    repo.git("config", "remote.origin.url", "https://example.org/x")

    text = said(repo)

    assert f"lacks dir (object {tree})" in text
    assert f"git -C {repo.path} fetch --refetch fetches them again" in text


def test_a_missing_object_of_the_history_is_named(repo: Repository) -> None:
    """
    A workspace has the history as well.
    """
    (blob,) = lose(repo, "HEAD~1:a")

    assert blob in said(repo)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HEAD", "the commit itself is missing"),
        ("HEAD^{tree}", "the list of its files is missing"),
        ("HEAD~1", "is damaged: it lacks objects"),
    ],
)
def test_a_clone_that_cannot_be_opened_is_damaged(repo: Repository, name: str, words: str) -> None:
    """
    It is not mistaken for a repository without a commit.
    """
    lose(repo, name)

    with pytest.raises(ProjectionError) as caught:
        opened(repo)

    assert words in str(caught.value)
    assert "fsck" in str(caught.value)


def test_a_broken_branch_is_damage(repo: Repository) -> None:
    """
    Its file is empty, as after a power cut.
    """
    (repo.path / ".git/refs/heads/main").write_text("")

    with pytest.raises(
        ProjectionError, match=r"is damaged, and 'HEAD' names no commit.*broken ref"
    ):
        opened(repo)


def test_a_damaged_submodule_is_named(repo: Repository) -> None:
    """
    The commands are those for its own repository.
    """
    lib = repo.submodule("lib")
    repo.commit()
    (blob,) = lose(lib, "HEAD:i.txt")

    text = said(repo)

    assert f"the clone {lib.path} is damaged: it lacks i.txt (object {blob})" in text
    assert f"git -C {lib.path} fsck" in text


def test_a_partial_clone_is_named(repo: Repository, tmp_path: Path) -> None:
    """
    Nothing is fetched, and the remedy is another one.
    """
    repo.git("config", "uploadpack.allowFilter", "true")
    url = f"file://{repo.path}"
    repo.git("clone", "--quiet", "--no-checkout", "--filter=blob:none", url, tmp_path / "partial")
    partial = Repository(tmp_path / "partial", repo.env)
    blob = partial.git("rev-parse", "HEAD:a")

    text = said(partial)

    assert f"{partial.path} is a partial clone and lacks a (object {blob}), d (object" in text
    assert f"git -C {partial.path} fetch --refetch --no-filter origin" in text


def test_a_long_history_is_not_called_damaged(repo: Repository) -> None:
    """
    There may be no time to look at all of it.
    """
    with pytest.raises(TimeoutError):
        check_integrity(opened(repo), repo.env, timeout=0)
