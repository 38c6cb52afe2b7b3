"""Tests of finding submodules on the host. `test_repository` has tests through a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.git import reading_environment
from pytest_codex_workspace.projection.submodules import Submodule, find_submodules

from ...helpers.repositories import Repository, host_environment


@pytest.fixture
def outer(tmp_path: Path) -> Repository:
    """
    Return a repository with one submodule.
    """
    outer = Repository(tmp_path / "outer", host_environment(tmp_path / "home"))
    outer.submodule("lib", "name")
    outer.commit()
    return outer


def found(repo: Repository, commit: str = "HEAD") -> tuple[Submodule, ...]:
    """
    Return the submodules of a commit.
    """
    return find_submodules(
        repo.path,
        repo.git("rev-parse", commit),
        git_dir=repo.path / ".git",
        common_dir=repo.path / ".git",
        env=reading_environment(repo.env),
    )


def test_the_commit_of_the_parent_counts(outer: Repository) -> None:
    """
    The submodule is at the commit that the parent names, not at its newest commit.
    """
    lib = Repository(outer.path / "lib", outer.env)
    committed = lib.head()
    lib.commit({"later": "x"})

    assert found(outer) == (Submodule("lib", "name", committed, lib.path / ".git", ()),)


def test_an_older_commit_has_its_own_submodules(outer: Repository) -> None:
    """
    A submodule that was added later is not in an older commit.
    """
    outer.submodule("more")
    outer.commit()

    assert [module.path for module in found(outer)] == ["lib", "more"]
    assert [module.path for module in found(outer, "HEAD~1")] == ["lib"]


def test_a_commit_that_is_not_local_is_explained(outer: Repository) -> None:
    """
    The error names the submodule, the commit and the remedies.
    """
    missing = "1" * 40
    outer.git("update-index", "--cacheinfo", f"160000,{missing},lib")
    outer.git("commit", "--quiet", "--message=m")

    with pytest.raises(ProjectionError) as caught:
        found(outer)

    said = str(caught.value)
    assert f"submodule 'lib' of {outer.path} is at commit {missing}" in said
    assert "submodule update --init --recursive" in said
    assert "CODEX_SKIP_SUBMODULES=1 to skip submodules" in said


def test_a_directory_is_not_a_submodule(outer: Repository) -> None:
    """
    An entry of .gitmodules without a submodule at its path is ignored.
    """
    outer.git("config", "--file=.gitmodules", "submodule.dir.path", "dir")
    outer.commit({"dir/file": "x"})

    assert [module.path for module in found(outer)] == ["lib"]
