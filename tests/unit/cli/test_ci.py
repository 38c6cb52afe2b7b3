"""What the commands show to a CI service; tests/integration/test_ci.py has whole runs."""

from __future__ import annotations

from contextlib import suppress

from pytest_codex_workspace.cli.ci import ci_run
from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.options.config import Config


def test_without_a_service_nothing_is_reported(capsys):
    """
    The command is as it is on a terminal.
    """
    with suppress(EngineUnavailable), ci_run("run", Config()) as ci:
        assert ci.attached(lambda: 3) == 3
        raise EngineUnavailable("no engine")
    assert capsys.readouterr() == ("", "")


def test_a_service_is_told_how_a_command_ended(monkeypatch, tmp_path, capsys):
    """
    Its output is between two marks, on standard error; an error is an annotation, in the summary
    too, without secrets.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    monkeypatch.setenv("TOKEN", "hunter22")
    config = Config(secret=("TOKEN",))

    with suppress(EngineUnavailable), ci_run("exec: hunter22", config) as ci:
        assert ci.attached(lambda: 3) == 3
        raise EngineUnavailable("no engine")
    with suppress(KeyboardInterrupt), ci_run("exec: true", config):
        raise KeyboardInterrupt

    out, err = capsys.readouterr()
    begin, _, end, error = err.splitlines()
    assert out == ""
    assert end == f"::{begin.removeprefix('::stop-commands::')}::"
    assert error == "::error title=EngineUnavailable::no engine"
    summary = (tmp_path / "summary").read_text()
    assert "<h3>exec: ***</h3>" in summary
    assert "<td>exit code</td><td><code>3</code></td>" in summary
    assert "<td>ended</td><td><code>early</code></td>" in summary
