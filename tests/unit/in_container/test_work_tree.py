"""Tests of the program that compares a work tree with a commit, on repositories of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.in_container import work_tree

from ...helpers.repositories import Repository, fingerprint, host_environment

pytestmark = pytest.mark.needs_git


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """
    A repository with one commit.
    """
    made = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    made.commit({"a.txt": "one\n", "gone.txt": "1\n", ".gitignore": "ignored\n", "d/x.txt": "x\n"})
    return made


def ask(repo: Repository, what: str, head: str, most: int = 1 << 20) -> subprocess.CompletedProcess:
    program = Path(work_tree.__file__).read_text()
    words = [sys.executable, "-I", "-c", program, what, str(repo.path), head, str(most)]
    return subprocess.run(words, capture_output=True, env=repo.env, check=False)


def report(repo: Repository, head: str) -> dict[str, Any]:
    done = ask(repo, "list", head)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kinds(repo: Repository, head: str) -> dict[str, str]:
    return {path: kind for path, kind, *_ in report(repo, head)["changes"]}


def applied(repo: Repository, head: str, where: Path) -> Path:
    """
    Apply the patch of *repo* to a new clone.
    """
    done = ask(repo, "patch", head)
    assert done.returncode == 0, done.stderr.decode()
    repo.git("clone", "--quiet", repo.path, where)
    clone = Repository(where, repo.env)
    clone.git("reset", "--hard", "--quiet", head)
    (where / "the.patch").write_text(done.stdout.decode("utf-8"))
    clone.git("apply", "the.patch")
    (where / "the.patch").unlink()
    return where


def test_what_differs_from_the_commit(repo):
    """
    Changed, new and removed files, committed or not, in the index or not; ignored ones are not.
    """
    head = repo.head()
    (repo.path / "a.txt").write_text("two\n")
    (repo.path / "gone.txt").unlink()
    (repo.path / "ignored").write_text("1\n")
    (repo.path / "new file.txt").write_text("new\n")
    repo.git("add", "new file.txt")
    (repo.path / "forced").mkdir()
    (repo.path / "forced/ignored").write_text("forced\n")
    repo.git("add", "--force", "forced/ignored")
    repo.git("commit", "--quiet", "--message=later")
    (repo.path / "empty").mkdir()

    found = report(repo, head)

    assert [one[:3] for one in found["changes"]] == [
        ["a.txt", "changed", 4],
        ["forced/ignored", "added", 7],
        ["gone.txt", "removed", 0],
        ["new file.txt", "added", 4],
    ]
    assert (found["more"], found["cut"]) == (0, False)
    text = found["changes"][0][3]
    assert text.startswith("diff --git a/a.txt b/a.txt\n")
    assert "-one\n+two\n" in text
    assert "new\n" in found["changes"][3][3]


def test_nothing_of_the_repository_changes(repo):
    """
    Neither its index nor its objects, and an unchanged work tree has no changes.
    """
    head, before = repo.head(), fingerprint(repo.path)

    assert kinds(repo, head) == {}
    (repo.path / "new").write_text("only here\n")
    after = fingerprint(repo.path)
    assert kinds(repo, head) == {"new": "added"}

    assert fingerprint(repo.path) == after
    assert set(after) - set(before) == {str(repo.path / "new")}


def test_the_patch_makes_the_same_files(repo, tmp_path):
    """
    `git apply` takes it: text, binary files, other encodings, links, modes, odd names, and a file
    in place of a directory.
    """
    head = repo.head()
    files = {
        "a.txt": b"no end of line",
        "latin.txt": b"caf\xe9 " * 5,
        "binary": bytes(range(256)) * 4,
        "crlf.txt": b"a\r\nb\r\n",
        'odd "name"\ttab.txt': b"odd\n",
        "\N{LATIN SMALL LETTER E WITH ACUTE}.txt": b"accent\n",
        "looks.txt": b"diff --git a/x b/x\n\ndiff --git a/y b/y\n\n",
        "empty": b"",
    }
    for name, content in files.items():
        (repo.path / name).write_bytes(content)
    (repo.path / "a.txt").chmod(0o755)
    (repo.path / "gone.txt").unlink()
    (repo.path / "gone.txt").symlink_to("a.txt")
    (repo.path / "d/x.txt").unlink()
    (repo.path / "d").rmdir()
    (repo.path / "d").write_text("a file now\n")

    there = applied(repo, head, tmp_path / "clone")

    for name, content in files.items():
        assert (there / name).read_bytes() == content
    assert os.access(there / "a.txt", os.X_OK)
    assert (there / "gone.txt").readlink() == Path("a.txt")
    assert (there / "d").read_text() == "a file now\n"
    found = report(repo, head)["changes"]
    assert {path: text for path, _, _, text in found}["looks.txt"].count("\n+") == 5
    assert {path: text for path, _, _, text in found}["binary"] == ""


def test_a_directory_in_place_of_a_file_and_a_link_in_place_of_a_directory(repo, tmp_path):
    """
    What lies behind a link is not in the work tree.
    """
    head = repo.head()
    (repo.path / "a.txt").unlink()
    (repo.path / "a.txt").mkdir()
    (repo.path / "a.txt/inner").write_text("inner\n")
    (repo.path / "d").rename(tmp_path / "elsewhere")
    (repo.path / "d").symlink_to(tmp_path / "elsewhere")

    assert kinds(repo, head) == {
        "a.txt": "removed",
        "a.txt/inner": "added",
        "d": "added",
        "d/x.txt": "removed",
    }
    there = applied(repo, head, tmp_path / "clone")
    assert (there / "a.txt/inner").read_text() == "inner\n"
    assert (there / "d").is_symlink()


def test_no_option_of_the_repository_changes_the_answer(repo, tmp_path):
    """
    Marks in the index, ways to show differences, drivers, prefixes and an own work tree.
    """
    head, ran = repo.head(), tmp_path / "ran"
    repo.git("update-index", "--assume-unchanged", "a.txt")
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ntouch {ran}\ncat "$@"\n')
    program.chmod(0o755)
    (repo.path / ".git/info/attributes").write_text("*.txt diff=own\n")
    for name, value in {
        "diff.own.textconv": str(program),
        "diff.own.command": str(program),
        "diff.external": str(program),
        "core.fsmonitor": str(program),
        "core.worktree": str(tmp_path),
        "core.sparseCheckout": "true",
        "core.pager": str(program),
        "diff.noprefix": "true",
        "diff.orderFile": str(program),
        "color.ui": "always",
        "status.showUntrackedFiles": "no",
    }.items():
        repo.git("config", name, value)
    (repo.path / ".git/info/sparse-checkout").write_text("/d/\n")
    ran.unlink(missing_ok=True)
    (repo.path / "a.txt").write_text("two\n")
    (repo.path / "new").write_text("new\n")

    found = report(repo, head)["changes"]

    assert [one[:2] for one in found] == [["a.txt", "changed"], ["new", "added"]]
    assert found[0][3].startswith("diff --git a/a.txt b/a.txt\n")
    assert not ran.exists()


def test_variables_of_git_do_not_count(repo, tmp_path):
    """
    A command may have set them for all others.
    """
    head = repo.head()
    (repo.path / "a.txt").write_text("two\n")
    repo.env |= {"GIT_DIR": str(tmp_path), "GIT_INDEX_FILE": "x", "GIT_EXTERNAL_DIFF": "false"}

    assert kinds(repo, head) == {"a.txt": "changed"}


def test_a_submodule_has_its_own_changes(repo, tmp_path):
    """
    Its files have their whole path, in the patch as well. A repository that is no submodule, and a
    submodule that was not projected, have none.
    """
    module = repo.submodule("lib/inner")
    repo.submodule("absent")
    repo.commit()
    head = repo.head()
    for path in sorted((repo.path / "absent").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Repository(repo.path / "cloned", repo.env).commit({"x": "1\n"})
    (repo.path / "lib/inner/i.txt").write_text("changed\n")
    module.commit({"more.txt": "more\n"})

    assert kinds(repo, head) == {"lib/inner/i.txt": "changed", "lib/inner/more.txt": "added"}
    patch = ask(repo, "patch", head).stdout.decode()
    assert "diff --git a/lib/inner/i.txt b/lib/inner/i.txt\n" in patch
    assert "+++ b/lib/inner/more.txt\n" in patch


def test_a_pipe_is_no_file(repo):
    """
    It is not read, which would take for ever.
    """
    head = repo.head()
    (repo.path / "a.txt").unlink()
    os.mkfifo(repo.path / "a.txt")
    os.mkfifo(repo.path / "new")

    assert kinds(repo, head) == {"a.txt": "removed"}


def test_the_answer_is_bounded(repo, monkeypatch, tmp_path):
    """
    It says how many changes are missing, and whether the text of one is.
    """
    head = repo.head()
    for number in range(5):
        (repo.path / f"n{number}").write_text(f"{'x' * 50}\n")
    top = os.fsencode(repo.path)
    for name, value in repo.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(work_tree, "MOST_CHANGES", 3)

    def report_here(name: str) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        return work_tree.report(top, head, str(tmp_path / name))

    found = report_here("a")
    assert [one[0] for one in found["changes"]] == ["n0", "n1", "n2"]
    assert (found["more"], found["cut"]) == (2, False)

    monkeypatch.setattr(work_tree, "MOST_TEXT", 400)
    found = report_here("b")
    assert [bool(one[3]) for one in found["changes"]] == [True, False, False]
    assert found["cut"]

    done = ask(repo, "patch", head, most=400)
    assert done.returncode == 1
    assert b"the patch is too large" in done.stderr


def test_what_git_says_is_passed_on(repo, tmp_path):
    """
    If it fails, its own words say why.
    """
    done = ask(repo, "list", "f" * 40)

    assert done.returncode == 1
    assert b"fatal: Needed a single revision" in done.stderr
