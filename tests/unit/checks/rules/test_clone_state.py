"""What git and bash of this machine tell."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from unittest.mock import Mock

import pytest

from pytest_codex_workspace.checks.clone import Clone
from pytest_codex_workspace.checks.repository import CheckedRepository
from pytest_codex_workspace.checks.rules import clone_state
from pytest_codex_workspace.codex import RESUME, SCRIPTS, SETUP
from pytest_codex_workspace.text.urls import without_credentials

from ....fakes.trees import memory_tree
from ....helpers.repositories import Repository, fingerprint, host_environment

pytestmark = [pytest.mark.needs_bash, pytest.mark.needs_git]


@pytest.fixture
def repo(tmp_path):
    made = Repository(tmp_path / "demo", host_environment(tmp_path / "home"))
    made.commit({"a.txt": "1\n"})
    return made


def found(rule, repository, rev="HEAD"):
    clone = Clone.of(repository.path, rev, repository.env)
    return list(rule(clone, CheckedRepository(clone.tree())))


def test_a_shallow_clone(repo, tmp_path):
    """
    It has a part of the history.
    """
    repo.commit({"b": "2"})
    assert [] == found(clone_state.clone_history, repo)
    repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", tmp_path / "shallow")

    one = found(clone_state.clone_history, Repository(tmp_path / "shallow", repo.env))

    assert ["git-history"] == [each.id for each in one]
    assert "--unshallow" in one[0].remedy


def test_a_partial_clone(repo, tmp_path):
    """
    Git would fetch objects later.
    """
    repo.git("config", "uploadpack.allowFilter", "true")
    source = f"file://{repo.path}"
    repo.git("clone", "--quiet", "--filter=blob:none", source, tmp_path / "partial")

    one = found(clone_state.clone_history, Repository(tmp_path / "partial", repo.env))

    assert ["this is a partial clone"] == [each.what.partition(":")[0] for each in one]


def test_changes_of_the_work_tree(repo):
    """
    They are counted for HEAD only, and nothing is changed.
    """
    assert [] == found(clone_state.uncommitted_changes, repo)
    (repo.path / "a.txt").write_text("2")
    (repo.path / "new").write_text("")
    before = fingerprint(repo.path)

    one = found(clone_state.uncommitted_changes, repo)

    assert "2 files of the work tree are changed or new" in one[0].what
    assert "a.txt, new" in one[0].what
    assert [] == found(clone_state.uncommitted_changes, repo, "main")
    assert before == fingerprint(repo.path)


def submodule(url, repo, **changes):
    content = f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'
    clone = replace(Clone.of(repo.path, "HEAD", repo.env), **changes)
    checked = CheckedRepository(memory_tree({".gitmodules": content}))
    return list(clone_state.submodule_addresses(clone, checked))


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
        ("https://[x", "not a valid URL"),
        ("../a.git", "relative to the remote, which is gone when a script runs"),
    ],
)
def test_submodule_urls_that_codex_cannot_use(repo, url, why):
    """
    Only HTTPS to a public host works.
    """
    expected = [] if why is None else [f"({without_credentials(url)}: {why})"]

    one = submodule(url, repo)

    assert expected == [each.what[each.what.index("(") :] for each in one]
    assert all(each.where == ".gitmodules:3" for each in one)


def test_passwords_of_urls_are_left_out(repo):
    """
    Each URL has its reason.
    """
    one = submodule("http://me:secret@example.org/x", repo)

    assert "(http://example.org/x: plain HTTP)" in one[0].what


def test_skipped_submodules(repo):
    """
    The user does not want them.
    """
    environ = {**repo.env, "CODEX_SKIP_SUBMODULES": "1"}

    assert [] == submodule("git@example.org:a.git", repo, environ=environ)


def test_urls_of_included_files_are_not_read(repo, tmp_path):
    """
    `.gitmodules` of a commit cannot make git read a file of this machine.
    """
    (tmp_path / "other").write_text('[submodule "x"]\n\turl = git@host:x\n')
    repo.commit({".gitmodules": f"[include]\n\tpath = {tmp_path / 'other'}\n"})

    assert [] == found(clone_state.submodule_addresses, repo)


def test_scripts_that_are_missing(repo):
    """
    The commit has the setup script, or no folder of scripts.
    """
    assert [] == found(clone_state.missing_scripts, repo)
    (repo.path / SCRIPTS).mkdir()
    (repo.path / RESUME).write_text("true\n")
    new = found(clone_state.missing_scripts, repo)
    assert ["warning"] == [one.level for one in new]
    assert "not in the commit" in new[0].what
    repo.commit()
    without = found(clone_state.missing_scripts, repo)
    assert ["error"] == [one.level for one in without]
    assert SETUP in without[0].remedy
    repo.commit({SETUP: "true\n"})
    assert [] == found(clone_state.missing_scripts, repo)


def test_a_directory_of_scripts_that_is_a_link(repo):
    """
    Git has no directory there, so nothing runs.
    """
    (repo.path / "ci").mkdir()
    (repo.path / SCRIPTS).symlink_to("ci")
    repo.commit({"ci/setup-script.sh": "true\n"})

    one = found(clone_state.missing_scripts, repo)

    assert [("script-missing", SCRIPTS)] == [(each.id, each.where) for each in one]
    assert "is a link or a file" in one[0].what


@pytest.mark.parametrize("pattern", ["codex-workspace-scripts/", "*.sh"])
def test_scripts_that_git_ignores(repo, pattern):
    """
    Either the directory or one file is ignored; one of the two scripts is enough.
    """
    repo.commit({SETUP: "true\n"})
    repo.commit({".gitignore": f"{pattern}\n"})
    (repo.path / RESUME).write_text("true\n")

    one = found(clone_state.missing_scripts, repo)

    assert [("error", RESUME)] == [(each.level, each.path) for each in one]
    assert SETUP not in one[0].what


def syntax(repo, content, **environ):
    clone = replace(Clone.of(repo.path, "HEAD", repo.env), environ={**os.environ, **environ})
    checked = CheckedRepository(memory_tree({SETUP: content}))
    return list(clone_state.script_syntax(clone, checked))


def test_a_syntax_error_has_its_line(repo):
    """
    This holds for a script with CRLF too, which is not an error by itself.
    """
    one = syntax(repo, "true\r\nif true; then\r\n  fi fi\r\n")

    assert [("error", f"{SETUP}:3")] == [(each.level, each.where) for each in one]
    assert f"{SETUP}: line 3: syntax error" in one[0].what
    assert [] == syntax(repo, "if true; then\r\n  true\r\nfi\r\n")


def test_the_message_of_bash_is_cut(repo):
    """
    Bash repeats the line, which may be long and have any number of errors.
    """
    one = syntax(repo, f"fi {'x' * 100_000}\n")

    assert 1 == len(one)
    assert len(one[0].what) < 600


def test_a_script_that_bash_reads_too_long(repo, monkeypatch):
    """
    Whether it is valid is not known.
    """
    late = Mock(side_effect=subprocess.TimeoutExpired("bash", 5))
    monkeypatch.setattr(clone_state.subprocess, "run", late)

    one = syntax(repo, "true\n")

    assert ["warning"] == [each.level for each in one]
    assert "not known" in one[0].what


def test_a_word_that_is_too_long_for_a_name(repo):
    """
    No file of the work tree has it.
    """
    repo.commit({SETUP: f"bash {'a' * 5000}\nbash tools/{'a' * 5000}/x.sh\n"})

    assert [] == found(clone_state.files_not_committed, repo)


def test_checking_syntax_runs_nothing(repo, tmp_path):
    """
    Neither the script nor the file named by BASH_ENV runs.
    """
    trap = tmp_path / "trap"
    (tmp_path / "env").write_text(f"touch {trap}\n")

    syntax(repo, f"touch {trap}\n", BASH_ENV=str(tmp_path / "env"))

    assert not trap.exists()


def test_syntax_is_not_checked_without_bash(repo, tmp_path):
    """
    The workspace has a bash of its own.
    """
    assert [] == syntax(repo, "fi\n", PATH=str(tmp_path))


def test_an_old_bash_only_warns(repo, tmp_path):
    """
    The bash of macOS cannot parse everything that a workspace's bash can.
    """
    bash = tmp_path / "bash"
    bash.write_text(
        "#!/bin/sh\n"
        'case "$1" in --version) echo "GNU bash, version 3.2.57(1)";; '
        '*) echo "bash: line 1: oh" >&2; exit 2;; esac\n'
    )
    bash.chmod(0o755)

    one = syntax(repo, "x |& y\n", PATH=str(tmp_path))

    assert [("warning", f"{SETUP}: line 1: oh")] == [(each.level, each.what) for each in one]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("bash tools/x.sh", "tools/x.sh"),
        ("./tools/x.sh --all", "tools/x.sh"),
        ("source .env", ".env"),
        (". ./.env", ".env"),
        ("pip install -r dev.txt", "dev.txt"),
    ],
)
def test_a_file_that_only_the_work_tree_has(repo, line, path):
    """
    A script needs it, and git ignores it or does not know it.
    """
    repo.commit({SETUP: f"set -e\n{line}\n", ".gitignore": ".env\n"})
    (repo.path / "tools").mkdir()
    for name in ("tools/x.sh", ".env", "dev.txt"):
        (repo.path / name).write_text("")

    one = found(clone_state.files_not_committed, repo)

    assert [("error", f"{SETUP}:2")] == [(each.level, each.where) for each in one]
    assert path in one[0].what
    repo.git("add", "--force", path)
    repo.commit()
    assert [] == found(clone_state.files_not_committed, repo)


@pytest.mark.parametrize(
    ("name", "example", "said"),
    [
        (".env", "", "`secrets:`"),
        (".env", ".env.example", "`cp .env.example .env`"),
        ("tools/prod.env", "tools/prod.env.sample", "`cp tools/prod.env.sample tools/prod.env`"),
    ],
)
def test_nobody_is_told_to_commit_a_secret(repo, name, example, said):
    """
    A file whose name is one of secrets is made from variables, or from an example of it.
    """
    repo.commit({SETUP: f"set -e\n. {name}\n", **({example: "A=\n"} if example else {})})
    (repo.path / name).parent.mkdir(exist_ok=True)
    (repo.path / name).write_text("A=secret\n")

    (used,) = found(clone_state.files_not_committed, repo)
    (changed,) = found(clone_state.uncommitted_changes, repo)

    assert said in used.remedy
    assert f"{name} may hold secrets: do not commit it" in used.remedy
    assert "git add" not in used.remedy
    assert f"{name} may hold secrets: do not commit it" in changed.remedy


@pytest.mark.parametrize(
    "line",
    [
        "cp .env.example .env\n. .env",
        "echo A=1 >.env\nsource .env",
        "source .venv/bin/activate",
        "./gone.sh",
        "bash ../x.sh",
        "[ -f .env ] && source .env",
        "if test -e .env; then . ./.env; fi",
        "source .env || true",
        "bash -c dev.txt",
    ],
)
def test_a_file_that_a_script_makes_or_nobody_has(repo, line):
    """
    Nothing is known to be missing.
    """
    repo.commit({SETUP: f"set -e\n{line}\n"})
    (repo.path / ".venv/bin").mkdir(parents=True)
    for name in (".venv/bin/activate", ".env", "dev.txt"):
        (repo.path / name).write_text("")

    assert [] == found(clone_state.files_not_committed, repo)
