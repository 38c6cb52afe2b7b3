"""Doctor: the repository, and what a workspace will not have of it."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.config import Config
from pytest_codex_workspace.doctor import filters, repository
from pytest_codex_workspace.doctor.results import advised
from pytest_codex_workspace.errors import ProjectionError
from pytest_codex_workspace.repository import open_repository

from ..unit.repositories import Repository, fingerprint, host_environment

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    f"oid sha256:{'0' * 64}\n"
    "size 12345\n"
)  # fmt: skip


@pytest.fixture
def repo(tmp_path):
    made = Repository(tmp_path / "demo", host_environment(tmp_path / "home"))
    made.commit({"a.txt": "1\n"})
    return made


def opened(repo):
    return repository.without_submodules(repo.path, "HEAD", repo.env)


@pytest.mark.promise("S19")
def test_no_repository_says_what_to_give(tmp_path, repo):
    """
    S19: what was an unset HOST_REPO; the remedy is apart.
    """
    with pytest.raises(ProjectionError) as caught:
        repository.without_submodules(tmp_path, "HEAD", repo.env)

    found = advised(caught.value)
    assert "error" == found.status
    assert f"{tmp_path} is not in a git repository" == found.text
    assert found.remedy.startswith("Give the path of a repository, or run git init")


def test_the_commit_is_named(repo):
    """
    With the branch, or that there is none.
    """
    assert f"demo at {repo.head()[:12]}; HEAD is on main" == (
        repository.commit(opened(repo), repo.env).text
    )
    repo.git("checkout", "--detach")
    assert repository.commit(opened(repo), repo.env).text.endswith("on no branch")


def test_what_is_not_committed_is_listed(repo):
    """
    Five of it, and how many there are; ignored files are meant to stay behind.
    """
    assert "ok" == repository.changes(opened(repo), repo.env).status
    (repo.path / "a.txt").write_text("2\n")
    for number in range(6):
        (repo.path / f"new {number}").write_text("")
    (repo.path / ".git/info/exclude").write_text("ignored\n")
    (repo.path / "ignored").write_text("")

    found = repository.changes(opened(repo), repo.env)

    assert "warning" == found.status
    assert "1 uncommitted change and 6 untracked files" in found.text
    assert "a.txt, new 0, new 1, new 2, new 3 and 2 more" in found.text


def test_git_that_fails_to_list_is_a_warning(repo, tmp_path):
    """
    In a large work tree it may not end in time, and a workspace comes up all the same.
    """
    snapshot = opened(repo)
    (tmp_path / "git").write_text("#!/bin/sh\necho too much >&2\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    environ = {**repo.env, "PATH": str(tmp_path)}

    got = [check(snapshot, environ) for check in (repository.changes, filters.filters)]

    assert ["warning", "warning"] == [one.status for one in got]
    assert all("too much" in one.text + one.remedy for one in got)


def test_looking_runs_nothing_of_the_repository(repo, tmp_path):
    """
    Git would ask a monitor that the repository names.
    """
    ran = tmp_path / "ran"
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {ran}\n")
    monitor.chmod(0o755)
    repo.git("config", "core.fsmonitor", monitor)
    repo.git("status")
    assert ran.exists()
    ran.unlink()

    repository.changes(opened(repo), repo.env)

    assert not ran.exists()


def test_looking_changes_nothing(repo):
    """
    Not a time stamp, not the index.
    """
    (repo.path / "a.txt").touch()
    before = fingerprint(repo.path)

    repository.changes(opened(repo), repo.env)
    filters.filters(opened(repo), repo.env)

    assert before == fingerprint(repo.path)


def test_a_shallow_clone_is_a_warning(repo, tmp_path):
    """
    A whole one is not.
    """
    repo.commit({"b": "2"})
    assert "ok" == repository.history(opened(repo)).status
    repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", tmp_path / "shallow")
    shallow = Repository(tmp_path / "shallow", repo.env)

    found = repository.history(opened(shallow))

    assert ("warning", True) == (found.status, "--unshallow" in found.remedy)


def test_lfs_pointers_are_a_warning(repo):
    """
    A workspace gets the pointers; a text that only mentions one is none.
    """
    repo.commit({"readme": f"see\n{POINTER}", ".gitattributes": "*.bin filter=lfs\n"})
    found = filters.filters(opened(repo), repo.env)
    assert ("ok", True) == (found.status, "provides for them" in found.text)
    repo.git("rm", "--quiet", "--cached", ".gitattributes")
    repo.commit({".gitattributes": None})

    repo.commit({"data/big.bin": POINTER, "data/small.bin": "small"})
    found = filters.filters(opened(repo), repo.env)

    assert "warning" == found.status
    assert found.text.startswith("the commit has 1 LFS pointer, and")
    assert found.text.endswith(": data/big.bin")
    assert "setup-script.sh" in found.remedy


def test_other_filters_are_a_warning(repo):
    """
    In any directory; the name is told.
    """
    assert "no LFS pointers" == filters.filters(opened(repo), repo.env).text
    repo.commit({"sub/.gitattributes": "*.key filter=crypt diff=crypt\n"})

    found = filters.filters(opened(repo), repo.env)

    assert ("warning", True) == (found.status, "(crypt)" in found.text)


@pytest.mark.promise("S19")
def test_a_missing_submodule_is_an_error_that_names_both_ways_out(repo):
    """
    S19: update it, or leave submodules out; then it is no error.
    """
    repo.submodule("lib")
    repo.commit()
    assert ("ok", "lib: in the clone") == _status(repository.submodules, repo)
    repo.path.joinpath("lib").rename(repo.path.parent / "elsewhere")

    with pytest.raises(ProjectionError) as caught:
        repository.submodules(repo.path, "HEAD", repo.env)

    found = advised(caught.value)
    assert ("error", True) == (found.status, "'lib'" in found.text)
    assert "submodule update --init --recursive" in found.remedy
    assert "CODEX_SKIP_SUBMODULES=1" in found.remedy
    repo.env["CODEX_SKIP_SUBMODULES"] = "1"
    assert ("ok", True) == (
        _status(repository.submodules, repo)[0],
        "CODEX_SKIP_SUBMODULES" in _status(repository.submodules, repo)[1],
    )


def _status(check, repo):
    found = check(repo.path, "HEAD", repo.env)
    return found.status, found.text


def test_without_submodules_there_is_nothing_to_fetch(repo):
    """
    No line about URLs either.
    """
    assert ("ok", "none") == _status(repository.submodules, repo)
    assert repository.submodule_urls(repo.path, "HEAD", repo.env) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://example.org/a.git", None),
        ("https://192.0.2.1/a.git", None),
        ("ssh://git@example.org/a.git", "ssh"),
        ("git@example.org:a.git", "ssh"),
        ("example.org:a.git", "ssh"),
        ("git://example.org/a.git", "git"),
        ("http://example.org/a.git", "plain HTTP"),
        ("file:///srv/a.git", "a directory of this machine"),
        ("/srv/a.git", "a directory of this machine"),
        ("https://10.1.2.3/a.git", "a private address"),
        ("https://git/a.git", "a private host"),
        ("https://git.corp/a.git", "a private host"),
        ("nonsense", "no URL"),
    ],
)
def test_submodule_urls_that_codex_cannot_use(url, why):
    """
    Only HTTPS to a public host leaves.
    """
    assert why == repository.unreachable(url, "")


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        ("https://example.org/team/a.git", None),
        ("git@example.org:team/a.git", "ssh"),
        ("ssh://example.org/team/a.git", "ssh"),
        ("https://git.internal/team/a.git", "a private host"),
        ("/srv/a.git", "a directory of this machine"),
        ("", "relative, and the clone has no origin"),
    ],
)
def test_relative_urls_start_at_the_origin(origin, why):
    """
    As `git submodule` reads them.
    """
    assert why == repository.unreachable("../b.git", origin)


def test_urls_are_read_from_the_commit(repo):
    """
    Each with its reason, and no password.
    """
    repo.submodule("lib")
    repo.git("config", "--file=.gitmodules", "submodule.lib.url", "http://me:secret@example.org/x")
    repo.commit()
    (repo.path / ".gitmodules").write_text("")

    found = repository.submodule_urls(repo.path, "HEAD", repo.env)

    assert "warning" == found.status
    assert "lib (http://example.org/x: plain HTTP)" in found.text


def test_a_submodule_of_https_is_well(repo):
    """
    A relative one of an HTTPS origin, too.
    """
    repo.submodule("lib")
    repo.git("config", "--file=.gitmodules", "submodule.lib.url", "../lib.git")
    repo.git("config", "remote.origin.url", "https://example.org/team/demo.git")
    repo.commit()

    assert ("ok", "1, each of HTTPS") == _status(repository.submodule_urls, repo)
    assert open_repository(repo.path, environ=repo.env).submodules


def test_what_the_file_says(repo):
    """
    Whether there is one, and what is wrong with it.
    """
    config = Config(repo=repo.path)

    assert "no .codex-workspace.yaml" == repository.configuration(config, "").text
    (repo.path / ".codex-workspace.yaml").write_text("image: slim\n")
    assert ".codex-workspace.yaml is read" == repository.configuration(config, "").text
    wrong = repository.configuration(config, "line 1: unknown key 'imgae'")
    assert ("error", "line 1: unknown key 'imgae'") == (wrong.status, wrong.text)
    assert "codex-workspace config" in wrong.remedy
