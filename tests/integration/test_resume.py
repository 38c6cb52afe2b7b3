"""S6, S7: A cached setup is resumed at another HEAD, as in Codex."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..conftest import commit, git, init_repo, scripts
from .runs import COMMAND, running

SETUP = "mkdir -p deps\ndate +%N >deps/stamp\necho untracked >left-by-setup\n"
RESUME = "git rev-parse HEAD >deps/resumed-at\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """
    Return a repository whose setup leaves ignored and untracked files.
    """
    files = {".gitignore": "deps/\n", "kept": "1\n", "dir/gone": "1\n", "mode": "x\n"}
    return init_repo(tmp_path / "repo", {**files, **scripts(SETUP, RESUME)})


def stamp(ws) -> str:
    return ws.path("deps/stamp").read_text()


def check(first, later, head: str) -> None:
    """
    Check that *later* is at *head*, clean, with the files that setup made for *first*.
    """
    assert later.setup.cache == "hit"
    assert stamp(first) == stamp(later)
    assert head == later.head == later.path("deps/resumed-at").read_text().strip()
    assert head == later.exec("git rev-parse HEAD", check=True).stdout.strip()
    assert "work" == later.exec("git branch --show-current", check=True).stdout.strip()
    assert "?? left-by-setup\n" == later.exec("git status --porcelain", check=True).stdout


@pytest.mark.promise("S6", "S7")
def test_a_newer_head(codex_workspace_factory, repo):
    """
    S6: Files are added, changed and removed, and modes change.
    """
    first = codex_workspace_factory(repo=repo)
    (repo / "dir/gone").unlink()
    (repo / "mode").chmod(0o755)
    head = commit(repo, {"kept": "2\n", "new/file": "y"})

    later = codex_workspace_factory(repo=repo)

    check(first, later, head)
    assert "2\n" == later.path("kept").read_text()
    assert later.path("new/file").exists()
    assert not later.path("dir").exists()
    assert later.exec("test -x mode").ok


@pytest.mark.any_engine
@pytest.mark.promise("S6", "S7")
def test_an_older_head(codex_workspace_factory, repo):
    """
    S6: The workspace is at an ancestor of the commit that the cache was made at.
    """
    older = git(repo, "rev-parse", "HEAD")
    commit(repo, {"kept": "2\n", "new": "y"})
    first = codex_workspace_factory(repo=repo)

    later = codex_workspace_factory(repo=repo, rev=older)

    check(first, later, older)
    assert "1\n" == later.path("kept").read_text()
    assert not later.path("new").exists()
    assert later.exec("git log --oneline | wc -l").stdout == "1\n"


@pytest.mark.any_engine
@pytest.mark.promise("S6", "S7")
def test_a_history_that_was_rewritten(codex_workspace_factory, repo):
    """
    S6: After a forced push, the commit that the cache was made at is no ancestor of HEAD.
    """
    commit(repo, {"kept": "old tip\n"})
    first = codex_workspace_factory(repo=repo)
    (repo / "kept").write_text("new tip\n")
    git(repo, "commit", "--quiet", "--all", "--amend", "--message", "rewritten")
    head = git(repo, "rev-parse", "HEAD")

    later = codex_workspace_factory(repo=repo)

    check(first, later, head)
    assert "new tip\n" == later.path("kept").read_text()
    # Nor can the old one be found: Codex has fetched the branch, not its past.
    assert not later.exec(f"git merge-base --is-ancestor {first.head} HEAD").ok


@pytest.mark.any_engine
@pytest.mark.promise("S6", "S7")
def test_an_unrelated_history(codex_workspace_factory, repo):
    """
    S6: HEAD is on a branch without a common commit, in a repository with the same root commits.
    """
    first = codex_workspace_factory(repo=repo)
    main = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "--quiet", "--orphan", "other")
    commit(repo, {"kept": "orphan\n"})
    git(repo, "merge", "--quiet", "--allow-unrelated-histories", "-s", "ours", "-m", "m", main)
    # The first root is what a repository is known by: the orphan is another one.
    other = codex_workspace_factory(repo=repo)
    git(repo, "checkout", "--quiet", "-B", "grafted", main)
    git(repo, "merge", "--quiet", "--allow-unrelated-histories", "-s", "ours", "-m", "m", "other")
    head = git(repo, "rev-parse", "HEAD")

    later = codex_workspace_factory(repo=repo)

    assert other.setup.cache == "miss"
    check(first, later, head)


@pytest.mark.promise("S4", "S6")
def test_submodules_move(codex_workspace_factory, repo, tmp_path):
    """
    S4, S6: Submodules are updated to the commits of the new HEAD, and a removed submodule is
    removed.
    """
    part = init_repo(tmp_path / "part", {"version": "1\n"})
    second = init_repo(tmp_path / "second", {"file": "x\n"})
    git(repo, "submodule", "--quiet", "add", str(part), "part")
    git(repo, "submodule", "--quiet", "add", str(second), "second")
    commit(repo, {})
    first = codex_workspace_factory(repo=repo)
    assert ("1\n", True) == (
        first.path("part/version").read_text(),
        first.path("second/file").exists(),
    )
    commit(part, {"version": "2\n"})
    git(repo / "part", "pull", "--quiet", "origin", "main")
    git(repo, "rm", "--quiet", "second")
    head = commit(repo, {})

    later = codex_workspace_factory(repo=repo)

    check(first, later, head)
    assert "2\n" == later.path("part/version").read_text()
    assert not later.path("second").exists()


IDEMPOTENT = (
    RESUME
    + """\
mkdir -p /opt/d && cp /etc/hostname /tmp/x && echo same >/opt/d/same
"""
)

OTHERS = """\
echo more >>/root/grows
mktemp /opt/new-XXXX
if [ -e /opt/once ]; then rm /opt/once; else touch /opt/once; fi
chmod 600 /srv/f 2>/dev/null || { touch /srv/f; chmod 644 /srv/f; }
"""


@pytest.mark.any_engine
@pytest.mark.promise("S6")
def test_resuming_twice(codex_engine, tmp_path):
    """
    S6: A second run of an idempotent script changes no file; the changes of another script are
    reported.
    """
    files = {".gitignore": "deps/\n", **scripts("mkdir deps\n", IDEMPOTENT)}
    repo = init_repo(tmp_path / "twice", files)
    session = Session(
        Config(image="slim", engine=codex_engine.url), Output("quiet", lambda _: None)
    )
    try:
        unchanged = session.repeat_resume(session.spec(session.repository(repo), {}))
        commit(repo, scripts("mkdir deps\n", IDEMPOTENT + OTHERS))
        found = session.repeat_resume(session.spec(session.repository(repo), {}))
    finally:
        session.close()

    assert unchanged == []
    expected = [
        "added /opt/new-",
        "changed /root/grows: its content",
        "changed /srv/f: its mode or owner",
        "removed /opt/once",
    ]
    assert len(expected) == len(found), found
    for line, beginning in zip(sorted(found), expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.any_engine
@pytest.mark.promise("S6")
def test_the_command_reports_changes_too(codex_engine, tmp_path):
    """
    S6: `cache verify` reports changes by its exit code.
    """
    repo = init_repo(tmp_path / "repo", scripts("true\n", "date +%N >/root/when\n"))
    verify = (*COMMAND, "cache", "verify", "--image=slim", f"--engine={codex_engine.url}", repo)
    with running(*verify, cwd=tmp_path) as run:
        assert run.end() == 1, run.output

    assert "changed /root/when: its content" in run.output
    assert "a second run changed 1 file" in run.output
