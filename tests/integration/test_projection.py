"""S2, S3, S4: A workspace has the committed files of a repository, and nothing else of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pytest_codex_workspace import ProjectionError

from ..conftest import commit, git, init_repo, write

pytestmark = pytest.mark.filterwarnings("error")


def fingerprint(where: Path) -> dict[str, str]:
    """
    Return content and times of every file below *where*.
    """
    found = {}
    for path in sorted(where.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (
            f"{info.st_mode} {info.st_mtime_ns} {hashlib.sha256(content).hexdigest()}"
        )
    return found


@pytest.mark.promise("S2")
def test_only_what_is_committed_arrives(make_repo, codex_workspace_factory):
    """
    S2: The workspace has no untracked file, uncommitted change or ignored file.
    """
    repo = make_repo(
        **{".gitignore": "ignored\n", "tracked": "committed\n", "gone": "still here\n"}
    )
    write(repo, {"tracked": "changed\n", "ignored": "x", "untracked": "x", "staged": "x"})
    git(repo, "add", "staged")
    (repo / "gone").unlink()

    ws = codex_workspace_factory(repo=repo)

    assert sorted(path.name for path in ws.project.iterdir()) == [
        ".git",
        ".gitignore",
        "README",
        "gone",
        "tracked",
    ]
    assert ws.path("tracked").read_text() == "committed\n"
    assert ws.exec("git status --porcelain", check=True).stdout == ""
    assert git(repo, "rev-parse", "HEAD") == ws.head
    assert ws.head == ws.exec("git rev-parse HEAD", check=True).stdout.strip()


@pytest.mark.promise("S3")
def test_nothing_reaches_the_repository(make_repo, codex_workspace_factory):
    """
    S3: Whatever a workspace does, the user's files and `.git` are unchanged.
    """
    repo = make_repo()
    git(repo, "branch", "other")
    git(repo, "remote", "add", "origin", "https://user:secret@example.com/x.git")
    before = fingerprint(repo)

    ws = codex_workspace_factory(repo=repo)
    ws.exec("git commit --allow-empty -m x; rm -rf README; git gc --prune=now; touch new")
    config = ws.exec("git config --list; git remote; git branch --all; git stash list").stdout

    assert before == fingerprint(repo)
    assert "secret" not in config
    assert "other" not in config
    assert "* work" in config
    mounts = ws.exec(["cat", "/proc/self/mounts"]).stdout
    assert str(repo) not in mounts


@pytest.mark.promise("S4")
def test_submodules_are_there_at_their_commits(
    make_repo, codex_workspace_factory, tmp_path, monkeypatch
):
    """
    S4: Submodules are projected recursively, and with CODEX_SKIP_SUBMODULES=1 not at all.
    """
    inner = make_repo("inner", deep="1\n")
    middle = make_repo("middle")
    allow = ("-c", "protocol.file.allow=always")
    git(middle, *allow, "submodule", "--quiet", "add", str(inner), "in ner")
    commit(middle, {})
    outer = make_repo("outer")
    git(outer, *allow, "submodule", "--quiet", "add", str(middle), "sub/middle")
    git(outer, *allow, "submodule", "--quiet", "update", "--init", "--recursive")
    commit(outer, {})
    commit(middle, {"later": "not named by outer\n"})

    ws = codex_workspace_factory(repo=outer)
    monkeypatch.setenv("CODEX_SKIP_SUBMODULES", "1")
    skipped = codex_workspace_factory(repo=outer)

    assert ws.path("sub/middle/in ner/deep").read_text() == "1\n"
    assert not ws.path("sub/middle/later").exists()
    status = ws.exec("git submodule status --recursive", check=True).stdout
    assert all(line.startswith(" ") for line in status.splitlines())
    assert str(tmp_path) not in ws.exec("cat .git/config .gitmodules | grep -v url").stdout
    assert list(skipped.path("sub/middle").iterdir()) == []


@pytest.mark.promise("S2")
@pytest.mark.parametrize("kind", ["worktree", "shallow", "detached"])
def test_unusual_checkouts_work(make_repo, codex_workspace_factory, tmp_path, kind):
    """
    S2: A linked worktree, a shallow clone and a detached HEAD are projected.
    """
    repo = make_repo(a="1\n")
    first = git(repo, "rev-parse", "HEAD")
    second = commit(repo, {"a": "2\n"})
    where, head, content = tmp_path / kind, second, "2\n"
    if kind == "worktree":
        git(repo, "worktree", "add", "--quiet", str(where), first)
        head, content = first, "1\n"
    elif kind == "shallow":
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", str(where))
    else:
        git(repo, "checkout", "--quiet", "--detach", first)
        where, head, content = repo, first, "1\n"

    ws = codex_workspace_factory(repo=where)

    assert head == ws.head
    assert content == ws.path("a").read_text()
    assert ws.exec("git branch --show-current").stdout.strip() == "work"
    assert ws.exec("git status --porcelain").stdout == ""


@pytest.mark.promise("S2")
def test_odd_names_and_links_arrive(tmp_path, codex_workspace_factory):
    """
    S2: Names with spaces, newlines, quotes or bytes that are not UTF-8 arrive, and links that
    lead outside.
    """
    names = [b"with space", b"new\nline", b"quo\"te'", b"\xff\xfe", "ünï".encode()]
    repo = init_repo(tmp_path / "odd", {"README": "x"})
    for name in names:
        Path(os.fsdecode(os.fsencode(repo) + b"/" + name)).write_bytes(name)
    (repo / "passwd").symlink_to("/etc/passwd")
    commit(repo, {})

    ws = codex_workspace_factory(repo=repo)

    assert ws.exec("git status --porcelain").stdout == ""
    for name in names:
        assert name == ws.path(os.fsdecode(name)).read_bytes()
    assert ws.exec(["readlink", "passwd"]).stdout.strip() == "/etc/passwd"


def not_a_repository(where: Path) -> Path:
    where.mkdir()
    return where


def no_commit(where: Path) -> Path:
    where.mkdir()
    git(where, "init", "--quiet")
    return where


def bare(where: Path) -> Path:
    where.mkdir()
    git(where, "init", "--quiet", "--bare")
    return where


def foreign(where: Path) -> Path:
    if os.getuid() != 0:
        pytest.skip("only root can give a repository to another user")
    init_repo(where, {"a": "1"})
    for path in (where, where / ".git"):
        os.chown(path, 12345, 12345)
    return where


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda where: where, "does not exist"),
        (not_a_repository, "not in a git repository"),
        (no_commit, "no commit"),
        (bare, "bare"),
        (foreign, "safe.directory"),
    ],
)
def test_what_cannot_be_projected_is_explained(tmp_path, codex_workspace_factory, make, words):
    """
    Invalid input ends in a `ProjectionError` that says what to do.
    """
    with pytest.raises(ProjectionError) as caught:
        codex_workspace_factory(repo=make(tmp_path / "it"))

    assert words in str(caught.value).lower()
    assert str(tmp_path / "it") in str(caught.value)


def test_an_unknown_revision_is_explained(plain_repo, codex_workspace_factory):
    """
    The error names the revision and the repository.
    """
    with pytest.raises(ProjectionError, match="no-such-branch"):
        codex_workspace_factory(repo=plain_repo, rev="no-such-branch")
