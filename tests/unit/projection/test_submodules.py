"""Tests of finding submodules on the host. `test_repository` has tests through a repository."""

from __future__ import annotations

import shutil
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


def stranger_at(outer: Repository, tmp_path: Path) -> Path:
    """
    Replace the submodule of *outer* by another repository of this machine that has its commit.
    """
    stranger = tmp_path / "stranger"
    shutil.move(outer.path / "lib", stranger)
    return stranger


@pytest.mark.parametrize("kind", ["link", "git link", "gitdir", "module link"])
def test_no_link_leads_to_another_repository(outer: Repository, tmp_path: Path, kind: str) -> None:
    """
    The repository names the path, so neither a link of the work tree nor a `.git` file there may
    lead to another repository of this machine.
    """
    stranger = stranger_at(outer, tmp_path)
    place = outer.path / "lib"
    if kind == "link":
        place.symlink_to(stranger)
    elif kind == "git link":
        place.mkdir()
        (place / ".git").symlink_to(stranger / ".git")
    elif kind == "gitdir":
        place.mkdir()
        (place / ".git").write_text(f"gitdir: {stranger / '.git'}\n")
    else:
        (outer.path / ".git/modules").mkdir()
        (outer.path / ".git/modules/name").symlink_to(stranger / ".git")

    with pytest.raises(ProjectionError, match="is not in the local clone"):
        found(outer)


def test_a_link_above_a_submodule_is_not_followed(tmp_path: Path) -> None:
    """
    HEAD has a directory where the work tree has a link.
    """
    outer = Repository(tmp_path / "outer", host_environment(tmp_path / "home"))
    outer.submodule("above/lib")
    outer.commit()
    shutil.move(outer.path / "above", tmp_path / "stranger")
    (outer.path / "above").symlink_to(tmp_path / "stranger")

    with pytest.raises(ProjectionError, match="is not in the local clone"):
        found(outer)


def test_no_configuration_of_a_submodule_leads_to_another_repository(
    outer: Repository, tmp_path: Path
) -> None:
    """
    A git directory in the right place can name the objects of another one.
    """
    stranger = stranger_at(outer, tmp_path)
    module = outer.path / ".git/modules/name"
    module.mkdir(parents=True)
    (module / "HEAD").write_text("ref: refs/heads/main\n")
    (module / "commondir").write_text(f"{stranger / '.git'}\n")

    with pytest.raises(ProjectionError, match="is not in the local clone"):
        found(outer)


def test_gitmodules_includes_no_other_file(outer: Repository, tmp_path: Path) -> None:
    """
    A commit cannot make git read a file of this machine.
    """
    (tmp_path / "other").write_text('[submodule "secret"]\n\tpath = lib\n')
    outer.git("config", "--file=.gitmodules", "--remove-section", "submodule.name")
    outer.git("config", "--file=.gitmodules", "include.path", str(tmp_path / "other"))
    outer.commit()

    assert found(outer) == ()
