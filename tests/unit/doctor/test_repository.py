"""Doctor: the repository, and what a workspace lacks of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_codex_workspace.doctor import git_filters, repository
from pytest_codex_workspace.doctor.result import from_error
from pytest_codex_workspace.errors import ConfigError, ProjectionError
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.projection.repository import open_repository

from ...helpers.repositories import Repository, fingerprint, host_environment

pytestmark = pytest.mark.needs_git

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

    got = [check(snapshot, environ) for check in (repository.changes, git_filters.filters)]

    assert ["warning", "warning"] == [one.status for one in got]
    assert all("too much" in one.text + one.remedy for one in got)


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
    git_filters.filters(opened(repo), repo.env)

    assert before == fingerprint(repo.path)


def test_a_shallow_clone_is_a_warning(repo, tmp_path):
    """
    A complete clone is ok.
    """
    repo.commit({"b": "2"})
    assert "ok" == repository.history(opened(repo)).status
    repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", tmp_path / "shallow")
    shallow = Repository(tmp_path / "shallow", repo.env)

    found = repository.history(opened(shallow))

    assert ("warning", True) == (found.status, "--unshallow" in found.remedy)


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


def test_lfs_pointers_are_a_warning(repo):
    """
    A workspace gets the pointers. A file that only mentions a pointer does not count.
    """
    repo.commit({"readme": f"see\n{POINTER}", ".gitattributes": "*.bin filter=lfs\n"})
    found = git_filters.filters(opened(repo), repo.env)
    assert ("ok", True) == (found.status, "uses LFS" in found.text)
    repo.git("rm", "--quiet", "--cached", ".gitattributes")
    repo.commit({".gitattributes": None})

    repo.commit({"data/big.bin": POINTER, "data/small.bin": "small"})
    found = git_filters.filters(opened(repo), repo.env)

    assert "warning" == found.status
    assert found.text.startswith("the commit has 1 LFS pointer, and")
    assert found.text.endswith(": data/big.bin")
    assert "setup-script.sh" in found.remedy


def test_other_filters_are_a_warning(repo):
    """
    The filter is found in any directory, and the text names it.
    """
    assert "no LFS pointers" == git_filters.filters(opened(repo), repo.env).text
    repo.commit({"sub/.gitattributes": "*.key filter=crypt diff=crypt\n"})

    found = git_filters.filters(opened(repo), repo.env)

    assert ("warning", True) == (found.status, "(crypt)" in found.text)


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
    There is no finding about URLs.
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
        ("file:///srv/a.git", "a directory on this machine"),
        ("/srv/a.git", "a directory on this machine"),
        ("https://10.1.2.3/a.git", "a private address"),
        ("https://git/a.git", "a private host"),
        ("https://git.corp/a.git", "a private host"),
        ("nonsense", "not a URL"),
    ],
)
def test_submodule_urls_that_codex_cannot_use(url, why):
    """
    Only HTTPS to a public host works.
    """
    assert why == repository.unreachable(url, "")


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        ("https://example.org/team/a.git", None),
        ("git@example.org:team/a.git", "ssh"),
        ("ssh://example.org/team/a.git", "ssh"),
        ("https://git.internal/team/a.git", "a private host"),
        ("/srv/a.git", "a directory on this machine"),
        ("", "relative, but the clone has no origin"),
    ],
)
def test_relative_urls_are_resolved_against_the_origin(origin, why):
    """
    This is how `git submodule` reads them.
    """
    assert why == repository.unreachable("../b.git", origin)


def test_urls_are_read_from_the_commit(repo):
    """
    Each has its reason, and passwords are left out.
    """
    repo.submodule("lib")
    repo.git("config", "--file=.gitmodules", "submodule.lib.url", "http://me:secret@example.org/x")
    repo.commit()
    (repo.path / ".gitmodules").write_text("")

    found = repository.submodule_urls(repo.path, "HEAD", repo.env)

    assert "warning" == found.status
    assert "lib (http://example.org/x: plain HTTP)" in found.text


def test_urls_of_included_files_are_not_read(repo, tmp_path):
    """
    `.gitmodules` of a commit cannot make git read a file of this machine.
    """
    (tmp_path / "other").write_text('[submodule "x"]\n\turl = git@host:x\n')
    repo.commit({".gitmodules": f"[include]\n\tpath = {tmp_path / 'other'}\n"})

    assert repository.submodule_urls(repo.path, "HEAD", repo.env) is None


def test_a_submodule_with_an_https_url_passes(repo):
    """
    So does a relative URL of an HTTPS origin.
    """
    repo.submodule("lib")
    repo.git("config", "--file=.gitmodules", "submodule.lib.url", "../lib.git")
    repo.git("config", "remote.origin.url", "https://example.org/team/demo.git")
    repo.commit()

    assert ("ok", "1 URL, all HTTPS") == _status(repository.submodule_urls, repo)
    assert open_repository(repo.path, environ=repo.env).submodules


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
