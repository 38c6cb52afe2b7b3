"""Tests of the files that a setup depends on, and that have changed since it ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.projection.changed_files import (
    NamedFiles,
    changed_dependencies,
    declares_dependencies,
)
from pytest_codex_workspace.projection.repository import open_repository

from ...helpers.repositories import Repository, host_environment


@pytest.mark.parametrize(
    "path",
    [
        "package-lock.json",
        "web/yarn.lock",
        "a/b/pnpm-lock.yaml",
        "requirements.txt",
        "requirements-dev.txt",
        "requirements/dev.txt",
        "api/requirements/base.in",
        "test-requirements.txt",
        "uv.lock",
        "Cargo.lock",
        "go.sum",
        "Gemfile.lock",
        ".tool-versions",
        "gradle/wrapper/gradle-wrapper.properties",
    ],
)
def test_files_that_say_what_is_installed(path: str) -> None:
    """
    In any directory, because a repository may have several projects.
    """
    assert declares_dependencies(path)


@pytest.mark.parametrize("path", ["README.md", "src/lock.py", "docs/package.json.md", "locks/a"])
def test_other_files(path: str) -> None:
    """
    A name that only contains such a name is another one.
    """
    assert not declares_dependencies(path)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("tools/install.sh", "tools/install.sh"),
        ("tools/install.sh", "./tools/install.sh"),
        ("tools/install.sh", "/workspace/shop/tools/install.sh"),
        ("tools/install.sh", "install.sh"),
        ("conda/env.lock", "conda/*.lock"),
        ("Makefile", "Makefile"),
    ],
)
def test_a_script_names_a_file(path: str, word: str) -> None:
    """
    As it is, from another directory, or with a pattern.
    """
    assert path in NamedFiles([word])


@pytest.mark.parametrize(
    ("path", "word"),
    [("docs/install", "install"), ("a/b", "*"), ("a/b", "**/*"), ("a.txt", "ba.txt"), ("a", "/")],
)
def test_a_script_does_not_name_a_file(path: str, word: str) -> None:
    """
    A word of a command is no file somewhere, and a pattern of everything names nothing.
    """
    assert path not in NamedFiles([word])


def test_many_changes_and_many_words_take_little_time() -> None:
    """
    They are not compared with each other: that would take minutes for an update.
    """
    words = [f"tools/step{number}.sh" for number in range(20_000)]
    words += [
        "a/" * 2000 + "b",
        "/" * 3000,
        "x" * 100_000,
        *("*a" * 80 + str(n) for n in range(500)),
    ]
    named = NamedFiles(words)

    assert sum(f"src/step{number}.sh" in named for number in range(200)) == 0
    assert sum(f"tools/step{number}.sh" in named for number in range(200)) == 200


def test_what_has_changed_since_a_commit(tmp_path: Path) -> None:
    """
    Of all changes, only those count that a script names outside of its comments, or that say
    what is installed. Of a commit that is not there, or is no commit, nothing is known.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    script = '# see notes.txt\nbash "$PWD/tools/prepare.sh"\n. lib.sh\n'
    lib = "cat config/versions.env\n"
    before = {
        SETUP: script,
        "codex-workspace-scripts/lib.sh": lib,
        "tools/prepare.sh": "1",
        "config/versions.env": "1",
        "web/package-lock.json": "1",
        "notes.txt": "1",
        "src/main.py": "1",
        "uv.lock": "1",
    }
    repo.commit(before)
    old = repo.head()
    repo.commit({name: "2" for name in before if not name.startswith("codex-") and name != SETUP})
    repo.commit({"uv.lock": None})
    now = open_repository(repo.path, environ=repo.env)

    found = changed_dependencies(now, old, repo.env)
    assert found == ["config/versions.env", "tools/prepare.sh", "uv.lock", "web/package-lock.json"]
    assert changed_dependencies(now, now.head, repo.env) == []
    for unknown in ("", "f" * 40, "--output=x", "HEAD", f"{old} "):
        assert changed_dependencies(now, unknown, repo.env) is None
    assert not (repo.path / "x").exists()
