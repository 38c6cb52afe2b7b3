"""Tests of `codex-workspace init`, with real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.codex import CONFIG_FILE, RESUME, SETUP

from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment
from ...helpers.user import TerminalUser

FILES = {"requirements.txt": "pytest\n", ".nvmrc": "22\n", "compose.yaml": "    image: redis\n"}


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """
    Create a repository with something to install.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({**FILES, "sub/a": ""})
    return repo


def test_a_draft_is_written_once(repo: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """
    At the top of the repository. Each line names its file; the next command is named.
    """
    assert 0 == main(["init", str(repo.path / "sub")])

    said = capsys.readouterr().out
    for path in (SETUP, RESUME, CONFIG_FILE):
        assert f"wrote {path}\n" in said
        assert (repo.path / path).is_file()
    assert "  python -m pip install -r requirements.txt  requirements.txt\n" in said
    assert "  node: 22                                   .nvmrc\n" in said
    assert "compose.yaml has redis, which may be a service\n" in said
    assert "tests: python -m pytest (tests)\n" in said
    add = f"git -C {repo.path} add {SETUP} {RESUME} {CONFIG_FILE} && git commit"
    assert f"next: read the files, then {add}, and codex-workspace check {repo.path}\n" in said
    assert "with --image=slim, it builds a smaller one" in said

    (repo.path / SETUP).write_text("mine\n")
    (repo.path / RESUME).unlink()
    assert 0 == main(["init", str(repo.path)])
    said = capsys.readouterr().out
    assert f"left {SETUP} as it is: it exists\n" in said
    assert f"wrote {RESUME}\n" in said
    assert "mine\n" == (repo.path / SETUP).read_text()
    assert 0 == main(["init", str(repo.path)])
    assert "nothing was written: --print shows the drafts\n" in capsys.readouterr().out


def test_a_draft_may_only_be_printed(repo: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Programs get it as fields of the result.
    """
    assert 0 == main(["init", "--print", str(repo.path)])
    said = capsys.readouterr().out
    assert f"==> {SETUP}\n#!/usr/bin/env bash\n" in said
    assert f"==> {CONFIG_FILE}\n" in said
    assert not (repo.path / SETUP).exists()

    assert 0 == main(["init", "--print", "--json", str(repo.path)])
    result = read_events(capsys.readouterr().out.splitlines())[-1]
    assert [SETUP, RESUME, CONFIG_FILE] == list(result["files"])
    assert [] == result["existing"]
    assert 0 == main(["init", "--json", str(repo.path)])
    result = read_events(capsys.readouterr().out.splitlines())[-1]
    assert [SETUP, RESUME, CONFIG_FILE] == result["written"]


def test_there_may_be_nothing_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A directory outside of a repository is an error.
    """
    repo = Repository(tmp_path / "empty", host_environment(tmp_path / "home"))
    for words in (["init"], ["init", "--print"]):
        assert 0 == main([*words, str(repo.path)])
        assert "found no lock file or tool file" in capsys.readouterr().out
    assert 125 == main(["init", str(tmp_path)])
    assert "ProjectionError" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["n", "y"])
def test_on_a_terminal_the_next_step_is_offered(
    repo: Repository, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """
    It commits the files that were written and nothing else, and runs the command that it named.
    """
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    for name, value in repo.env.items():
        monkeypatch.setenv(name, value)
    (repo.path / "staged").touch()
    repo.git("add", "staged")

    user = TerminalUser("init", cwd=repo.path)
    user.until(r"now\? \[y/N\]")
    user.type(f"{answer}\n")

    code = user.end()
    user.leave()
    committed = repo.git("show", "--name-only", "--format=%s").splitlines()
    if answer == "n":
        assert (0, "m") == (code, committed[0])
        assert (repo.path / SETUP).exists()
        return
    # There is no engine.
    assert code
    assert ["Add the scripts of a Codex workspace", ""] == committed[:2]
    assert sorted([SETUP, RESUME, CONFIG_FILE]) == sorted(committed[2:])
    assert "A  staged" == repo.git("status", "--porcelain")
    assert "127.0.0.1:1" in user.seen
