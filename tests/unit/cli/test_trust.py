"""Tests of `codex-workspace trust`, with real repositories."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pytest_codex_workspace.cli.main import command_parser, main
from pytest_codex_workspace.options.sources import FILE

from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """
    Create a repository whose file asks for a secret. Nothing is trusted yet.
    """
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("CI", raising=False)
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({FILE: "image: slim\nsecrets: [TOKEN]\n"})
    return repo


def test_trust_is_given_once_and_can_be_withdrawn(
    repo: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Until then, other commands refuse the file, and `config` and `doctor` say what it asks for.
    """
    where, asks = str(repo.path), "line 2: secrets: TOKEN gives the variable TOKEN"

    def said(*words: str, code: int = 0) -> str:
        assert code == main(list(words))
        captured = capsys.readouterr()
        return captured.out + captured.err

    assert asks in said("compose", where, code=125)
    assert asks in said("config", where)
    assert f"is not trusted:\n  {asks}" in said("trust", "--show", where)
    assert asks in said("config", where)
    assert f"is trusted:\n  {asks}" in said("trust", where)
    assert asks not in said("config", where)
    assert "is trusted" in said("trust", "--show", where)
    repo.commit({FILE: "image: slim\nsecrets: [TOKEN, MORE]\n"})
    assert "secrets: MORE" in said("config", where)
    assert "secrets: MORE" not in said("trust", "--show", "--rev=HEAD~1", where)
    assert "forgot 1 trusted file" in said("trust", "--forget", where)
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    assert asks in said("config", where)


def test_a_file_may_need_no_trust(repo: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Nothing is remembered then. A missing repository is an error.
    """
    repo.commit({FILE: "image: slim\n"})
    assert main(["trust", str(repo.path)]) == 0
    assert "nothing in it needs your trust" in capsys.readouterr().out
    repo.commit({FILE: None})
    assert main(["trust", str(repo.path)]) == 0
    assert f"no {FILE} in HEAD" in capsys.readouterr().out
    assert main(["trust", str(repo.path / "none")]) == 125
    assert "does not exist" in capsys.readouterr().err


def test_the_result_is_data(repo: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With `--json`, it has what the file asks for.
    """
    assert main(["trust", "--json", str(repo.path)]) == 0

    result = read_events([capsys.readouterr().out])[0]
    assert (result["event"], result["trusted"]) == ("result", True)
    assert [(one["name"], one["line"]) for one in result["asks"]] == [("secrets: TOKEN", 2)]


def test_every_command_with_a_repository_can_trust_or_ignore_its_file() -> None:
    """
    The error names the option, whatever the command is.
    """
    found = {}
    waiting = [command_parser()]
    while waiting:
        parser = waiting.pop()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()
            elif action.dest == "repo":
                found[parser.prog] = "--repo-config" in parser._option_string_actions
    assert len(found) > 5
    # These read no options from the file.
    names = ("trust", "init", "cassette list", "cassette prune", "cache export", "cache clear")
    without = {f"codex-workspace {name}" for name in names}
    assert {name for name, has in found.items() if not has} == without
