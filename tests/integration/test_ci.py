"""What a CI service gets of whole runs, and what a workspace cannot make it do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ..conftest import init_repo, scripts
from ..helpers.ci import commands
from ..helpers.events import read_events
from .runs import COMMAND, PYTEST

SECRET = "hunter2-hunter2"
TESTS = """
def test_passes(codex_workspace):
    assert codex_workspace.exec("true").ok

def test_fails(codex_workspace):
    done = codex_workspace.exec("curl -sS http://blocked.example/; echo ::error::evil; exit 3")
    print(done.stdout, "\\n##[add-mask]evil")
    codex_workspace.exec("echo the reason; echo '##[error]evil'; exit 3", check=True)
"""


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return the file of the summary, in the directory of the checkout.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    return tmp_path / "summary.md"


def ran(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=where, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_run_of_pytest_in_github(tmp_path, github, monkeypatch):
    """
    The controller writes one summary and annotates. Nothing that a workspace has printed, in
    setup or in a test, is a command. A secret is nowhere. JUnit has what a test that passed did.
    """
    monkeypatch.setenv("TOKEN", SECRET)
    setup = 'echo "token $TOKEN"; echo "::error::$TOKEN"; echo "##[error]x"\n'
    init_repo(tmp_path / "repo", scripts(f"{setup}curl -sS http://setup.example/\n"))
    (tmp_path / "test_it.py").write_text(TESTS)
    options = ("--codex-repo=repo", "--codex-image=slim", "--codex-secret=TOKEN", "-n2")
    junit = ("--junitxml=j.xml", "-ojunit_logging=system-out")

    done = ran(tmp_path, *PYTEST, *options, *junit, "test_it.py")

    shown = f"{done.stdout}\n{done.stderr}"
    assert "1 failed, 1 passed" in shown, shown
    assert "[error]x" in done.stderr
    [(level, text)] = commands(shown.splitlines())
    assert (level, "setup.example" in text) == ("warning", True)
    summary = github.read_text()
    assert summary.count("<h3>Tests in Codex workspaces</h3>") == 1
    assert "<code>1 failed, 1 passed</code>" in summary
    assert "<td><code>test_it.py::test_fails</code></td>" in summary
    xml = (tmp_path / "j.xml").read_text()
    assert 'name="codex_problems" value="blocked: [test] GET http://blocked.example/' in xml
    assert re.search("<system-out>[^<]*, cache (miss|hit)\nexit code 0 after .*: true\n", xml)
    assert not [one for one in (shown, summary, xml) if SECRET in one]


def test_a_setup_that_fails_in_github(tmp_path, github):
    """
    Its annotation is at its line, with what was refused; standard output of --json has events.
    """
    init_repo(tmp_path / "repo", scripts("set -e\ncurl -fsS http://gone.example/ >/dev/null\n"))

    done = ran(tmp_path, *COMMAND, "run", "--image=slim", "--json", "repo")

    assert done.returncode == 22
    [found] = [each for each in done.stderr.splitlines() if each.startswith("::")]
    assert "file=repo/codex-workspace-scripts/setup-script.sh,line=2::" in found
    assert "plain-http" in found
    assert github.read_text().count("<h3>codex-workspace run</h3>") == 1
    events = read_events(done.stdout.splitlines())
    requests = [one["reason"] for one in events if one["event"] == "request"]
    assert (requests, events[-1]["event"]) == (["plain-http"], "error")


def test_output_of_a_command_is_no_command_of_github(tmp_path, github):
    """
    It is as the command has written it, between two marks on standard error.
    """
    init_repo(tmp_path / "repo", {"a": "1"})
    evil = "curl -s http://a.example/; echo '::error::a##[error]b'; printf '::error::c' >&2"
    words = [*COMMAND, "exec", "repo", "--image=slim", "--", evil]

    done = ran(tmp_path, *words)

    assert done.stdout.endswith("\n::error::a##[error]b\n")
    lines = done.stderr.splitlines()
    [begin] = [at for at, one in enumerate(lines) if one.startswith("::stop-commands::")]
    assert "::error::c" in lines[begin + 1 :]
    [(level, text)] = commands(lines)
    assert (level, "GET http://a.example/ (plain-http)" in text) == ("warning", True)
