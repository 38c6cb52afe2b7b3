"""Tests of reading a work tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.drafts.tree import ProjectFiles, find_top, work_tree
from pytest_codex_workspace.errors import ProjectionError

from ...helpers.repositories import Repository, host_environment


@pytest.mark.needs_git
def test_the_files_are_those_that_git_knows_or_would_add(tmp_path: Path) -> None:
    """
    Not ignored ones, and not removed ones. A repository without a commit is one, too.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / "repo", env)
    for name in ("a", "sub/b", "gone", "ignored"):
        (repo.path / name).parent.mkdir(exist_ok=True)
        (repo.path / name).write_text(name)
    (repo.path / ".gitignore").write_text("ignored\n")
    (tmp_path / "secret").write_text("secret")
    (repo.path / "link").symlink_to("../secret")
    (repo.path / "linked").symlink_to("..")
    os.mkfifo(repo.path / "pipe")
    repo.git("add", "a", "gone")
    (repo.path / "gone").unlink()

    assert repo.path == find_top(repo.path / "sub", env)
    tree = work_tree(repo.path, env)

    assert {"a", "sub/b", ".gitignore"} <= tree.files
    assert not {"gone", "ignored"} & tree.files
    assert "" == tree.version
    assert ("a", "sub/b") == (tree.text("a"), tree.text("sub/b"))
    outside = ProjectFiles(["link", "linked/secret", "pipe", "a"], tree._read)
    assert ["", "", ""] == [outside.text(one) for one in ("link", "linked/secret", "pipe")]
    for where in (tmp_path, tmp_path / "none"):
        with pytest.raises(ProjectionError):
            find_top(where, env)


@pytest.mark.needs_git
def test_the_version_is_that_of_the_last_tag(tmp_path: Path) -> None:
    """
    Whatever is around it.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / "repo", env)
    repo.commit({"a": ""})
    assert "" == work_tree(repo.path, env).version
    repo.git("tag", "app-v1.4.2")
    repo.commit({"a": "1"})

    assert "1.4.2" == work_tree(repo.path, env).version


def test_names_that_could_end_a_comment_are_left_out() -> None:
    """
    They become a part of a script.
    """
    tree = ProjectFiles(["a\nreboot/uv.lock", "b\x1b/uv.lock", "c d/uv.lock"], str)

    assert ["c d"] == tree.folders_with("uv.lock")


def test_the_shallowest_folders_come_first() -> None:
    """
    At most ten, and not the deepest.
    """
    files = [f"f{number:02}/x" for number in range(20)] + ["x", "a/b/c/d/x", "a/tests/x", "a/b/x"]

    found = ProjectFiles(files, str).folders_with("x")

    assert ["", "f00", "f01"] == found[:3]
    assert 10 == len(found)
    assert ["", "a/b"] == ProjectFiles(["a/b/x", "x", "a/b/c/d/x"], str).folders_with("x")


def test_what_is_not_data_is_empty() -> None:
    """
    Nesting, other types, and files that are not there.
    """
    texts = {"a": "[" * 99999, "b": "[1]", "c": "{}", "d": "nonsense ="}
    tree = ProjectFiles(texts, texts.__getitem__)

    assert [{}] * 5 == [tree.json(one) for one in "abcde"]
    assert [{}] * 3 == [tree.toml(one) for one in "ade"]
    assert "x" not in tree
    assert "a" in tree
