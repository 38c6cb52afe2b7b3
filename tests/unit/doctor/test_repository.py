"""Doctor: the repository, and what a workspace lacks of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_codex_workspace.doctor import repository
from pytest_codex_workspace.doctor.result import from_error
from pytest_codex_workspace.errors import ConfigError, ProjectionError
from pytest_codex_workspace.options.config import Config

from ...helpers.repositories import Repository, fingerprint, host_environment

pytestmark = pytest.mark.needs_git


@pytest.fixture
def repo(tmp_path):
    made = Repository(tmp_path / "demo", host_environment(tmp_path / "home"))
    made.commit({"a.txt": "1\n"})
    return made


def opened(repo):
    return repository.without_submodules(repo.path, "HEAD", repo.env)


@pytest.mark.promise("S19")
def test_no_repository_is_an_error(tmp_path, repo):
    """
    S19: the counterpart of an unset HOST_REPO; the remedy is separate.
    """
    with pytest.raises(ProjectionError) as caught:
        repository.without_submodules(tmp_path, "HEAD", repo.env)

    found = from_error(caught.value)
    assert "error" == found.status
    assert f"{tmp_path} is not in a git repository" == found.text
    assert found.remedy.startswith("Give the path of a repository, or run git init")


def test_the_commit_is_reported(repo):
    """
    The text has the branch, or says that there is none.
    """
    assert f"demo at {repo.head()[:12]}; HEAD is on main" == (
        repository.commit(opened(repo), repo.env).text
    )
    repo.git("checkout", "--detach")
    assert repository.commit(opened(repo), repo.env).text.endswith("on no branch")


def test_a_directory_below_the_top_is_a_warning(repo):
    """
    The check applies only to such a directory.
    """
    (repo.path / "services/api").mkdir(parents=True)

    assert repository.place(repo.path, opened(repo)) is None
    found = repository.place(repo.path / "services/api", opened(repo))
    assert "warning" == found.status
    assert f"services/api is a directory of the repository {repo.path}" in found.text


def test_uncommitted_files_are_listed(repo):
    """
    At most five are listed; ignored files are not mentioned.
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


def test_a_failure_of_git_is_a_warning(repo, tmp_path):
    """
    Git may exceed its time limit in a large work tree, but a workspace starts nevertheless.
    """
    snapshot = opened(repo)
    (tmp_path / "git").write_text("#!/bin/sh\necho too much >&2\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    environ = {**repo.env, "PATH": str(tmp_path)}

    found = repository.changes(snapshot, environ)

    assert "warning" == found.status
    assert "too much" in found.text + found.remedy


def test_the_checks_run_no_program_of_the_repository(repo, tmp_path):
    """
    Git would start a file system monitor that the repository configures.
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


def test_the_checks_change_nothing(repo):
    """
    Neither time stamps nor the index change.
    """
    (repo.path / "a.txt").touch()
    before = fingerprint(repo.path)

    repository.changes(opened(repo), repo.env)

    assert before == fingerprint(repo.path)


def test_missing_objects_are_an_error(repo):
    """
    A clone that lacks a file of the commit is not whole.
    """
    assert ("ok", "none missing") == _of(repository.objects(opened(repo), repo.env))
    blob = repo.git("rev-parse", "HEAD:a.txt")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(ProjectionError, match=rf"lacks a\.txt \(object {blob}\)"):
        repository.objects(opened(repo), repo.env)


def _of(result):
    return result.status, result.text


@pytest.mark.promise("S19")
def test_a_missing_submodule_is_an_error_with_both_remedies(repo):
    """
    S19: update the submodule, or skip submodules; then there is no error.
    """
    repo.submodule("lib")
    repo.commit()
    assert ("ok", "in the clone: lib") == _status(repository.submodules, repo)
    repo.path.joinpath("lib").rename(repo.path.parent / "elsewhere")

    with pytest.raises(ProjectionError) as caught:
        repository.submodules(repo.path, "HEAD", repo.env)

    found = from_error(caught.value)
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


def test_a_repository_without_submodules_passes(repo):
    """
    It says so.
    """
    assert ("ok", "none") == _status(repository.submodules, repo)


def test_the_configuration_file_is_checked(repo):
    """
    The result says whether there is a file, and what is invalid in it.
    """
    config = Config(repo=repo.path)

    assert "no .codex-workspace.yaml" == repository.configuration(config, None).text
    repo.commit({".codex-workspace.yaml": "image: slim\n"})
    assert ".codex-workspace.yaml is valid" == repository.configuration(config, None).text
    wrong = repository.configuration(config, ConfigError("line 1: unknown key 'imgae'"))
    assert ("error", "line 1: unknown key 'imgae'") == (wrong.status, wrong.text)
    assert "codex-workspace config" in wrong.remedy
    asked = repository.configuration(config, ConfigError("a", remedy="give it"))
    assert ("error", "a", "give it") == (asked.status, asked.text, asked.remedy)
    changed = repository.configuration(replace(config, notes=("it has changes",)), None)
    assert ("warning", "it has changes") == (changed.status, changed.text)
    ignored = repository.configuration(replace(config, repo_config="ignore"), None)
    assert ignored.text.endswith("is ignored")
