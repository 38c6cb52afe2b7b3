"""Tests of reading single files of a commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.committed_files import CommittedFiles

from ...helpers.repositories import Repository, host_environment

LIMIT = 1000


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """
    Create a repository with two commits, and links that lead out of it.
    """
    tmp_path = tmp_path_factory.mktemp("committed")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("hush")
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    (repo.path / "link").symlink_to("../outside/secret")
    (repo.path / "above").symlink_to("../outside")
    repo.commit({"a.txt": "old\n", "dir/[b]*.txt": "b", "crlf": "1\r\n2\r\n"})
    repo.commit({"a.txt": "new\n"})
    return repo


def files(repo: Repository, rev: str = "HEAD") -> CommittedFiles:
    """
    Return the files at a commit.
    """
    return CommittedFiles.of(repo.path, rev, repo.env)


def test_files_are_those_of_the_commit(repo: Repository) -> None:
    """
    A name is no pattern, and the current directory makes no difference.
    """
    (repo.path / "untracked").write_text("x")

    assert files(repo).read("a.txt", limit=LIMIT) == b"new\n"
    assert files(repo, "HEAD~1").read("a.txt", limit=LIMIT) == b"old\n"
    assert files(repo).read("./dir/[b]*.txt", limit=LIMIT) == b"b"
    below = CommittedFiles.of(repo.path / "dir", "HEAD", repo.env)
    assert below.read("a.txt", limit=LIMIT) == b"new\n"
    assert below.top == repo.path
    for name in ("untracked", "none/x", "*.txt", ":(glob)*", "a.txt/x"):
        assert files(repo).read(name, limit=LIMIT) is None, name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../outside/secret", "not a path inside the repository"),
        ("dir/../../outside/secret", "not a path inside the repository"),
        ("/etc/passwd", "not a path inside the repository"),
        ("a\0b", "not a path inside the repository"),
        ("link", "link is a link in the commit"),
        ("above/secret", "above/secret leads through a link"),
        ("dir", "dir is not a file in the commit"),
    ],
)
def test_nothing_outside_is_read(repo: Repository, name: str, words: str) -> None:
    """
    Neither through `..` nor through a link.
    """
    with pytest.raises(ProjectionError, match=words):
        files(repo).read(name, limit=LIMIT)


def test_a_large_file_is_not_read(repo: Repository) -> None:
    """
    The limit is compared before the content is read.
    """
    with pytest.raises(ProjectionError, match=r"a\.txt is larger than the limit of 3 bytes"):
        files(repo).read("a.txt", limit=3)


def test_the_work_tree_is_compared(tmp_path: Path) -> None:
    """
    Line ends that git has converted are no change; a pipe and a link are.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({"a": "1\n2\n"})
    found, content = files(repo), b"1\n2\n"
    path = repo.path / "a"

    assert found.compare("a", content) == "same"
    path.write_bytes(b"1\r\n2\r\n")
    assert found.compare("a", content) == "same"
    path.write_bytes(b"1\n2\n3\n")
    assert found.compare("a", content) == "changed"
    path.unlink()
    assert found.compare("a", content) == "missing"
    assert found.compare("b", None) == "same"
    os.mkfifo(path)
    assert found.compare("a", content) == "changed"
    path.unlink()
    (repo.path / "b").write_bytes(content)
    path.symlink_to("b")
    assert found.compare("a", content) == "changed"
    assert found.compare("b", None) == "changed"


def test_a_missing_object_is_an_error(tmp_path: Path) -> None:
    """
    It is not mistaken for a missing file.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({"a": "1"})
    blob = repo.git("rev-parse", "HEAD:a")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(ProjectionError):
        files(repo).read("a", limit=LIMIT)
