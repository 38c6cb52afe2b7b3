"""Tests of copying single commits into bare repositories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.git import isolated_environment
from pytest_codex_workspace.projection.pack import Copier
from pytest_codex_workspace.projection.repository import open_repository

from ...helpers.repositories import Repository, host_environment


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """
    Return a repository with two commits.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({"a.txt": "1\n"})
    repo.commit({"a.txt": "2\n"})
    return repo


@pytest.fixture
def copier(tmp_path: Path, repo: Repository) -> Copier:
    """
    Return a copier with an empty scratch directory.
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Copier(scratch, "sha1", isolated_environment(repo.env, scratch))


def commits(repository: Path, env: dict[str, str]) -> list[str]:
    """
    Return the ids of all commits in a repository, reachable or not.
    """
    listed = Repository(repository, env).git(
        f"--git-dir={repository}",
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objecttype) %(objectname)",
    )
    return sorted(line.split()[1] for line in listed.splitlines() if line.startswith("commit "))


def test_only_the_history_of_the_commit_is_copied(
    copier: Copier, repo: Repository, tmp_path: Path
) -> None:
    """
    Later commits and other branches of the source are not in the copy.
    """
    first = repo.git("rev-parse", "HEAD~1")
    repo.git("branch", "other")

    entry = copier.copy(repo.path, repo.path / ".git", first)

    assert entry == {"repository": "0.git", "head": first, "object_format": "sha1"}
    copy = tmp_path / "scratch/0.git"
    assert [first] == commits(copy, repo.env)
    refs = repo.git(f"--git-dir={copy}", "for-each-ref", "--format=%(refname) %(objectname)")
    assert refs == f"refs/heads/work {first}"


def test_each_copy_has_its_own_repository(copier: Copier, repo: Repository, tmp_path: Path) -> None:
    """
    `files` lists the files of all copies, below the scratch directory.
    """
    names = [
        copier.copy(repo.path, repo.path / ".git", repo.head())["repository"] for _ in range(2)
    ]

    assert names == ["0.git", "1.git"]
    scratch = tmp_path / "scratch"
    assert {path.relative_to(scratch).parts[0] for path in copier.files()} == set(names)
    assert all(path.is_file() for path in copier.files())


def test_a_shallow_clone_keeps_only_its_own_boundary(repo: Repository, tmp_path: Path) -> None:
    """
    Shallow commits that were not copied are removed from the list.
    """
    clone = tmp_path / "clone"
    repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", clone)
    shallow = Repository(clone, repo.env)
    boundary = shallow.head()
    repo.git("checkout", "--quiet", "--orphan", "unrelated")
    repo.commit({"b.txt": "b\n"})
    repo.commit({"b.txt": "c\n"})
    shallow.git("fetch", "--quiet", "--depth=1", "origin", "unrelated")
    assert len((clone / ".git/shallow").read_text().split()) == 2
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    Copier(scratch, "sha1", isolated_environment(repo.env, scratch)).copy(
        clone, clone / ".git", boundary
    )

    assert (scratch / "0.git/shallow").read_text().split() == [boundary]


def test_submodules_are_copied_recursively(copier: Copier, repo: Repository) -> None:
    """
    Each entry has the path, name and submodules of a submodule.
    """
    odd = os.fsdecode(b"o d\xff")
    middle = repo.submodule(odd, "name")
    middle.submodule("inner")
    middle.commit()
    repo.commit()

    found = open_repository(repo.path, environ=repo.env)
    plan = copier.copy_with_submodules(repo.path, found.common_dir, found.head, found.submodules)
    (entry,) = plan["submodules"]

    assert entry["path"] == b"o d\xff".decode("utf-8", "surrogateescape")
    assert entry["name"] == "name"
    (inner,) = entry["submodules"]
    assert (inner["path"], inner["repository"], inner["submodules"]) == ("inner", "2.git", [])


def test_a_missing_commit_is_explained(copier: Copier, repo: Repository) -> None:
    """
    The error names the repository, the commit and a command that finds the damage.
    """
    missing = "1" * 40

    with pytest.raises(ProjectionError, match=f"is damaged: .* of commit {missing}.*fsck"):
        copier.copy(repo.path, repo.path / ".git", missing)
