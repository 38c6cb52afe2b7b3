"""Tests of `codex-workspace bug-report`, and of the debug log of any command."""

from __future__ import annotations

import tarfile
from contextlib import contextmanager, suppress

import pytest

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.debugging import bug_report, run
from pytest_codex_workspace.engine.docker import find
from tests.fakes.engine import FakeEngine

from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment


@pytest.fixture(autouse=True)
def _machine(cache_home, monkeypatch, tmp_path):
    """
    Stand for an engine, and for a doctor, which would look at this machine.
    """
    monkeypatch.setattr(find, "find_engine", lambda *_, **__: FakeEngine())
    monkeypatch.setattr(bug_report, "doctor_results", lambda *_: iter(()))
    monkeypatch.chdir(tmp_path)


def test_the_log_of_the_last_run_is_packed(tmp_path, monkeypatch, capsys):
    """
    The command does not write over it, though the variable is still set. It says what to do before
    the archive is sent.
    """
    monkeypatch.setenv("CODEX_WORKSPACE_DEBUG", "debug.log")
    assert 0 == main(["cache", "list"])
    before = (tmp_path / "debug.log").read_text()
    assert "command: codex-workspace cache, process" in before
    capsys.readouterr()

    assert 0 == main(["bug-report", "-o", "report.tar.gz"])

    printed = capsys.readouterr().out
    assert "Look through it before you send it" in printed
    assert "debug.log" in printed
    assert before == (tmp_path / "debug.log").read_text()
    with tarfile.open("report.tar.gz") as archive:
        assert "codex-workspace-bug-report/debug.log" in archive.getnames()


def test_without_a_log_it_says_how_to_get_one(capsys):
    """
    What is known is packed all the same.
    """
    assert 0 == main(["bug-report", "--archive=report.tar.gz"])

    printed = capsys.readouterr().out
    assert "It has no debug log: run again" in printed


def test_a_log_that_is_gone_is_told(tmp_path, monkeypatch, capsys):
    """
    A new archive has a name of its own.
    """
    monkeypatch.setenv("CODEX_WORKSPACE_DEBUG", "debug.log")
    assert 0 == main(["cache", "list"])
    (tmp_path / "debug.log").unlink()
    capsys.readouterr()

    assert 0 == main(["bug-report", "--json"])

    printed = capsys.readouterr()
    (result,) = read_events(printed.out.splitlines())
    assert "debug.log, is gone" in printed.err
    assert result["log"] is None
    (made,) = tmp_path.glob("codex-workspace-bug-report-*.tar.gz")
    assert made.name == result["path"]
    assert ["README.txt", "versions.json", "doctor.json", "options.json"] == result["files"]


def test_a_debug_log_that_cannot_be_written_is_an_error(tmp_path, monkeypatch, capsys):
    """
    Before the command does anything.
    """
    monkeypatch.setenv("CODEX_WORKSPACE_DEBUG", str(tmp_path / "missing/debug.log"))

    assert 125 == main(["cache", "list"])

    assert "ConfigError: the debug log" in capsys.readouterr().err


@pytest.mark.needs_git
@pytest.mark.parametrize("words", [["bug-report"], ["shell", "--debug=debug.log"]])
def test_the_engine_of_an_untrusted_file_is_not_asked(words, tmp_path, monkeypatch, capsys):
    """
    Its commit may name any address: what looks for a fault goes where the user has pointed.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({".codex-workspace.yaml": "engine: tcp://attacker.test:1\n"})
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    asked = []

    def find_engine(choice, *_, **__):
        asked.append(choice)
        return FakeEngine()

    monkeypatch.setattr(find, "find_engine", find_engine)
    monkeypatch.setattr(run, "doctor_results", lambda config, _: asked.append(config.engine) or ())

    main([*words, str(repo.path)])

    assert asked
    assert {"auto"} == set(asked)
    assert "attacker.test" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "examines"),
    [
        (["shell", "missing"], [True]),
        (["check", "--reads-only", "missing"], [False]),
        (["check", "--worker=repository-1", "missing"], [False]),
        (["doctor", "--schema"], []),
        (["cache", "list"], [False]),
        (["config"], []),
        (["bug-report", "--archive=x"], []),
    ],
)
def test_doctor_is_asked_if_a_workspace_is_started(words, examines, monkeypatch):
    """
    It takes seconds. What only prints, or packs a log, writes none.
    """
    asked = []

    @contextmanager
    def logged(path, command, resolve, *, examines):
        asked.append(examines)
        yield

    monkeypatch.setattr(run, "debug_log", logged)
    monkeypatch.setenv("CODEX_WORKSPACE_DEBUG", "debug.log")
    with suppress(SystemExit):
        main(words)

    assert examines == asked
