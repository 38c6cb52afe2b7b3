"""What has changed in a workspace: since the commit, and since its start."""

from __future__ import annotations

import subprocess

import pytest

from pytest_codex_workspace import ChangesError

from ..conftest import git, init_repo
from .runs import COMMAND, running

FILES = {
    ".gitignore": "build/\n*.log\n",
    "a.txt": "one\n",
    "binary": bytes(range(256)),
    "gone.txt": "gone\n",
    "lib/b.txt": "b\n",
}


@pytest.fixture(scope="session")
def changed_repo(tmp_path_factory):
    """
    Return a repository without setup scripts.
    """
    return init_repo(tmp_path_factory.mktemp("changed") / "changed", FILES)


@pytest.fixture
def ws(codex_workspace_factory, changed_repo):
    """
    Start a workspace of it.
    """
    return codex_workspace_factory(repo=changed_repo)


def test_the_changes_come_home(ws, changed_repo, tmp_path):
    """
    A new workspace has none; what `git apply` makes of the patch is what the workspace has.
    """
    assert len(ws.diff()) == 0
    assert ws.patch() == ""
    ws.exec(
        "echo two >>a.txt; head -c 3000 /dev/urandom >binary; rm gone.txt; mkdir build; "
        "echo x >build/out; echo x >x.log; echo new >lib/new.txt; printf 'caf\\351' >latin; "
        "ln -s a.txt link; git add -A; git -c user.name=A -c user.email=a@b.c commit -qm work && "
        "echo later >later.txt",
        check=True,
    )

    changes = ws.diff()

    assert [(one.path, one.kind, one.size) for one in changes] == [
        ("a.txt", "changed", 8),
        ("binary", "changed", 3000),
        ("gone.txt", "removed", 0),
        ("later.txt", "added", 6),
        ("latin", "added", 4),
        ("lib/new.txt", "added", 4),
        ("link", "added", 5),
    ]
    assert not changes.truncated
    assert "+two" in changes[0].text()
    changes.assert_unchanged("lib/b.txt", "build/**")
    with pytest.raises(AssertionError, match=r"A lib/new.txt \(4 B\)"):
        changes.assert_unchanged("lib/*.txt")

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(changed_repo), str(clone))
    subprocess.run(["git", "apply", "-"], cwd=clone, input=ws.patch().encode(), check=True)
    for name in ("a.txt", "binary", "later.txt", "latin", "lib/new.txt"):
        assert (clone / name).read_bytes() == ws.path(name).read_bytes()
    assert not (clone / "gone.txt").exists()
    assert (clone / "link").is_symlink()


@pytest.mark.any_engine
def test_what_a_repository_configures_runs_in_the_workspace_only(ws, changed_repo):
    """
    A filter is part of what git stores, and runs inside; ways to show a difference do not run.
    """
    ws.path("/usr/local/bin/evil").write_text('#!/bin/sh\ntouch "/ran-$1"\ncat\n')
    ws.exec(
        "chmod +x /usr/local/bin/evil; echo '* filter=evil diff=evil' >.gitattributes; "
        "git config filter.evil.clean 'evil filter'; git config diff.evil.textconv 'evil textconv';"
        "git config diff.evil.command 'evil driver'; git config diff.external 'evil external';"
        "git config core.fsmonitor 'evil monitor'; mkdir -p .git/hooks;"
        "for one in post-index-change pre-commit; do echo 'evil hook' >.git/hooks/$one; done;"
        "chmod +x .git/hooks/*; rm -f /ran-*; echo two >a.txt",
        check=True,
    )
    before = sorted(changed_repo.rglob("*"))

    assert [one.path for one in ws.diff()] == [".gitattributes", "a.txt"]
    assert "+two" in ws.patch()

    assert ws.exec("ls / | grep ran").stdout == "ran-filter\n"
    assert sorted(changed_repo.rglob("*")) == before


@pytest.mark.any_engine
def test_a_broken_git_is_an_error(ws):
    """
    It says what git says.
    """
    ws.exec("rm -r .git", check=True)
    with pytest.raises(ChangesError, match="cannot be told: fatal: not a git repository"):
        ws.diff()


def test_the_whole_file_system_since_the_start(ws):
    """
    Everything that was written, and nothing else: no files of ours, and not what is as it was.
    """
    assert [one.path for one in ws.diff(since="start")] == []
    ws.exec(
        "echo x >/root/new; echo x >>/etc/profile; rm -r lib; mkdir /opt/empty; ln -s x /opt/link; "
        "chmod 700 /opt; echo x >x.log; mv a.txt b.txt; mv b.txt a.txt; date >/dev/shm/x",
        check=True,
    )
    ws.upload(__file__, "/srv/uploaded")

    found = {one.path: one.kind for one in ws.diff(since="start")}

    assert found == {
        "/root/new": "added",
        "/etc/profile": "changed",
        f"{ws.project}/lib": "removed",
        f"{ws.project}/x.log": "added",
        "/opt": "changed",
        "/opt/empty": "added",
        "/opt/link": "added",
        "/srv/uploaded": "added",
    }
    changes = ws.diff(since="start")
    changes.assert_unchanged("/usr/**", "/var/lib")
    with pytest.raises(AssertionError, match="D /workspace/changed/lib"):
        changes.assert_unchanged("/workspace/changed/lib/b.txt")


@pytest.mark.any_engine
def test_the_command_lists_changes(changed_repo, codex_engine, tmp_path):
    """
    `exec --diff`: what git does not ignore, after the output of the command.
    """
    options = ("--diff", "--image=slim", f"--engine={codex_engine.url}", str(changed_repo))
    command = (*COMMAND, "exec", *options, "--", "echo new >new; echo x >x.log; exit 3")
    with running(*command, cwd=tmp_path) as run:
        assert run.end() == 3, run.output

    assert "codex: changed since the commit" in run.output
    assert "codex:   A new (4 B)\n" in run.output
    assert "x.log" not in run.output
