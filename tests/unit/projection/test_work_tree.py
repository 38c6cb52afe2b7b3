"""Tests of what is said about a work tree that has more than its commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.projection.work_tree import Changes, find_changes, notes_on

from ...helpers.repositories import Repository, fingerprint, host_environment

SETUP = "codex-workspace-scripts/setup-script.sh"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """
    Create a repository with a setup script.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({"a": "1", "b": "1", SETUP: "true", "services/api/a": "1"})
    return repo


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (Changes(("a",), ()), "1 changed file is not in the workspace (git add, git commit): a"),
        (Changes((), ("n",)), "1 untracked file is not in the workspace (git add, git commit): n"),
        (
            Changes(("a",), ("n",)),
            "1 changed, 1 untracked file are not in the workspace (git add, git commit): a, n",
        ),
        (
            Changes(("a", "b", "c"), ("n", "o", "p", "q")),
            "3 changed, 4 untracked files are not in the workspace (git add, git commit): "
            "a, b, c, n, o and 2 more",
        ),
    ],
)
def test_changes_are_one_line(changes: Changes, words: str) -> None:
    """
    It has the numbers, the remedy and some names.
    """
    assert str(changes) == words


def test_nothing_is_said_about_a_clean_work_tree(repo: Repository) -> None:
    """
    Ignored files are not missed, and nothing in the repository changes.
    """
    repo.commit({".gitignore": "ignored\n"})
    (repo.path / "ignored").write_text("x")
    before = fingerprint(repo.path)

    assert notes_on(repo.path, "HEAD", repo.env) == []
    assert fingerprint(repo.path) == before


def test_what_is_not_committed_is_said(repo: Repository) -> None:
    """
    For HEAD only: whoever names another commit does not expect the work tree.
    """
    (repo.path / "a").write_text("22")
    (repo.path / "b").unlink()
    (repo.path / "new").mkdir()
    (repo.path / "new/x").write_text("1")
    repo.git("add", "new/x")
    (repo.path / "dir").mkdir()
    (repo.path / "dir/x").write_text("1")

    (line,) = notes_on(repo.path, "HEAD", repo.env)

    assert line.endswith(": a, b, new/x, dir/")
    assert line.startswith("3 changed, 1 untracked file are not in the workspace (git add, git ")
    assert notes_on(repo.path, "main", repo.env) == []


def test_scripts_that_do_not_run_are_said(repo: Repository) -> None:
    """
    They are edited, or not committed at all.
    """
    (repo.path / SETUP).write_text("false")
    assert notes_on(repo.path, "HEAD", repo.env)[1:] == [
        "codex-workspace-scripts/ has changes that are not committed: the committed scripts run"
    ]
    repo.git("checkout", "--quiet", SETUP)
    repo.git("rm", "--quiet", "-r", "--cached", "codex-workspace-scripts")
    repo.git("commit", "--quiet", "--message=m")
    assert notes_on(repo.path, "HEAD", repo.env)[1:] == [
        "codex-workspace-scripts/ is not committed, so no script of it runs"
    ]


def test_a_directory_of_a_larger_repository_is_said(repo: Repository) -> None:
    """
    Scripts and options of its own are not used.
    """
    api = repo.path / "services/api"
    where = f"services/api is a directory of the repository {repo.path}, all of which is copied"

    assert notes_on(api, "HEAD", repo.env) == [where]
    repo.commit({f"services/api/{SETUP}": "true", "services/api/.codex-workspace.yaml": ""})
    assert notes_on(api, "HEAD", repo.env) == [
        f"{where}; services/api/codex-workspace-scripts/ and services/api/.codex-workspace.yaml "
        "are not used: only what is at the top"
    ]


@pytest.mark.parametrize("kind", ["clean", "process", "included"])
def test_no_program_of_the_repository_runs(repo: Repository, tmp_path: Path, kind: str) -> None:
    """
    Git would run a filter that the repository configures for each changed file.
    """
    ran = tmp_path / "ran"
    config = repo.path / ".git/config"
    if kind == "included":
        repo.git("config", "include.path", str(tmp_path / "more"))
        config = tmp_path / "more"
    key = "clean" if kind == "included" else kind
    for name, value in ((key, f"touch {ran}; cat"), ("required", "true")):
        repo.git("config", f"--file={config}", f"filter.a.B c.{name}", value)
    (repo.path / ".git/info/attributes").write_text('a filter="a.B c"\na filter=a.B\n')
    repo.git("config", f"--file={config}", f"filter.a.B.{key}", f"touch {ran}; cat")
    (repo.path / "a").write_text("2")

    (line,) = notes_on(repo.path, "HEAD", repo.env, timeout=20)

    assert line.startswith("1 changed file is not")
    assert not ran.exists()


def test_a_filter_of_the_user_runs(repo: Repository, tmp_path: Path) -> None:
    """
    Without git-lfs, each of its files would seem to be changed.
    """
    home = tmp_path / "home/.gitconfig"
    repo.git("config", f"--file={home}", "filter.one.clean", "sed s/2/1/")
    (repo.path / ".git/info/attributes").write_text("a filter=one\n")
    (repo.path / "a").write_text("2")

    assert notes_on(repo.path, "HEAD", repo.env, timeout=20) == []


def test_a_slow_work_tree_holds_nobody_up(repo: Repository) -> None:
    """
    After the limit, nothing is said about changes; doctor says why.
    """
    (repo.path / "a").write_text("22")

    assert notes_on(repo.path, "HEAD", repo.env, timeout=0) == []
    with pytest.raises(ProjectionError, match="did not end within 0 s"):
        find_changes(repo.path, repo.env, timeout=0)


def test_a_missing_repository_is_reported_elsewhere(tmp_path: Path) -> None:
    """
    There is nothing to say here.
    """
    assert notes_on(tmp_path / "none", "HEAD", host_environment(tmp_path / "home")) == []
