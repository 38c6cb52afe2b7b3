"""Tests of the configuration file in real commits. `test_repo_file` has its values."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options.committed_file import RepositoryFile, read_committed
from pytest_codex_workspace.options.sources import FILE

from ...helpers.repositories import Repository, host_environment


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """
    Create a repository with a configuration file and a policy.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({FILE: "image: slim\nnetwork: net/a.yaml\n", "net/a.yaml": "allow: [a.test]"})
    return repo


def read(repo: Repository, rev: str = "HEAD", below: str = "") -> RepositoryFile:
    """
    Read the file of a repository.
    """
    found = read_committed(repo.path / below, rev, repo.env)
    assert found is not None
    return found


def test_file_and_policy_are_those_of_the_commit(repo: Repository) -> None:
    """
    What is not committed does not apply, and the user is told.
    """
    (repo.path / FILE).write_text("image: evil\n")
    (repo.path / "net/a.yaml").write_text("http: allow")

    found = read(repo, below="net")

    assert found.path == repo.path / FILE
    assert found.repository == repo.path / ".git"
    assert found.values["image"].value == "slim"
    assert found.values["network"].value == {"allow": ["a.test"], "name": "a"}
    assert [note.partition(" ")[0] for note in found.notes] == [FILE, "net/a.yaml"]
    assert "has changes in the work tree, which is not committed" in found.notes[0]


def test_another_commit_has_its_own_file(repo: Repository) -> None:
    """
    It is not compared with the work tree.
    """
    repo.commit({FILE: "image: universal\n"})

    found = read(repo, "HEAD~1")

    assert found.values["image"].value == "slim"
    assert found.notes == ()
    assert found.digest != read(repo).digest


def test_a_file_that_is_not_committed_is_told(tmp_path: Path, repo: Repository) -> None:
    """
    So is one that was removed, and one with the other ending.
    """
    other = Repository(tmp_path / "other", repo.env)
    other.commit({"a": "1"})
    assert read(other).notes == ()
    (other.path / FILE).write_text("image: slim")
    (other.path / ".codex-workspace.yml").write_text("image: slim")
    found = read(other)
    assert (found.path, found.values) == (None, {})
    assert f"{FILE} is not committed, so it does not apply" in found.notes[0]
    assert f".codex-workspace.yml is not read: rename it to {FILE}" in found.notes[1]

    (repo.path / FILE).unlink()
    found = read(repo)
    assert found.values["image"].value == "slim"
    assert "was removed in the work tree" in found.notes[0]


@pytest.mark.parametrize("kind", ["link", "policy link", "policy above", "policy untracked", "dir"])
def test_nothing_outside_the_commit_is_read(repo: Repository, kind: str) -> None:
    """
    Neither the file nor a policy may be a link, or lie elsewhere.
    """
    outside = repo.path.parent / "outside.yaml"
    outside.write_text("image: evil\nhttp: allow\n")
    path = repo.path / FILE
    if kind in ("link", "dir"):
        path.unlink()
        path.symlink_to(outside) if kind == "link" else path.mkdir()
        repo.commit({} if kind == "link" else {f"{FILE}/x": "1"})
    elif kind == "policy link":
        (repo.path / "net/a.yaml").unlink()
        (repo.path / "net/a.yaml").symlink_to(outside)
        repo.commit()
    elif kind == "policy above":
        repo.commit({FILE: "network: ../outside.yaml\n"})
    else:
        (repo.path / "net/b.yaml").write_text("allow: [b.test]")
        repo.git("commit", "--quiet", "--allow-empty", "--message=m")
        path.write_text("network: net/b.yaml\n")
        repo.git("add", FILE)
        repo.git("commit", "--quiet", "--message=m")

    with pytest.raises(ConfigError) as caught:
        read(repo)

    words = {
        "link": "is a link in the commit",
        "dir": "is not a file in the commit",
        "policy link": "line 2: network: the policy file cannot be read: net/a.yaml is a link",
        "policy above": "line 1: network: the policy file cannot be read: ../outside.yaml is not",
        "policy untracked": "the policy file net/b.yaml is not in the commit; run git add",
    }
    assert words[kind] in str(caught.value)


def test_a_linked_worktree_belongs_to_its_repository(repo: Repository, tmp_path: Path) -> None:
    """
    Trust is remembered for the repository.
    """
    repo.git("worktree", "add", "--quiet", "--detach", tmp_path / "linked")

    found = read(Repository(tmp_path / "linked", repo.env))

    assert found.repository == repo.path / ".git"
    assert found.digest == read(repo).digest
    assert found.path == tmp_path / "linked" / FILE


def test_there_is_no_file_without_a_commit(tmp_path: Path) -> None:
    """
    The code that opens the repository reports the error.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / "repo", env)

    assert read_committed(repo.path, "HEAD", env) is None
    assert read_committed(tmp_path / "nowhere", "HEAD", env) is None
    assert read_committed("\0", "HEAD", env) is None
