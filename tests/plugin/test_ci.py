"""What a run of pytest shows to a CI service; tests/integration/test_ci.py has whole runs."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.extensions import ENGINE_GROUP

from ..helpers.ci import commands
from ..helpers.distributions import add_distribution

TEST = """
import pytest

def test_it(codex_workspace): pass

@pytest.fixture
def printing():
    print("::error::from a fixture")

def test_prints(printing, codex_workspace):
    print("::error::evil", flush=True)

def test_other():
    print("\\n::error::of the user")
    assert 0, "##[error]evil"
"""


@pytest.fixture
def github(example, monkeypatch, make_repo):
    """
    Return a function that runs the example there, and returns lines and the summary.
    """
    example.makepyfile(test_it=TEST)
    file = example.path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    repo = make_repo()

    def run(*arguments):
        file.unlink(missing_ok=True)
        result = example.runpytest_subprocess(f"--codex-repo={repo}", *arguments)
        return result.outlines, file.read_text() if file.exists() else ""

    return run


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("-s",), ("-n2", "-rA")])
def test_an_error_is_told_once_and_no_output_is_a_command(github, monkeypatch, arguments):
    """
    Under pytest-xdist too. What a test without a workspace prints into the log is its user's.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    lines, summary = github(*arguments, "-p", "no:randomly")

    found = commands(lines)
    users = [("error", "of the user")] if "-s" in arguments else []
    assert found[:-1] == users, lines
    assert found[-1][0] == "error"
    assert "no.sock" in found[-1][1]
    assert summary.count("<h3>Tests in Codex workspaces</h3>") == 1
    assert summary.count("error: EngineUnavailable") == 1


@pytest.mark.slow
def test_what_others_add_is_told_as_our_errors_are(github, example, monkeypatch):
    """
    An engine of another distribution, and a hook, whose traceback is shown.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.syspath_prepend(example.path)
    add_distribution(
        example.path, "ext", ENGINE_GROUP, {"acme": "ext:f"}, "def f(*_): raise ValueError('down')"
    )

    lines, _ = github("--codex-engine=acme", "-k", "prints")
    [(kind, text)] = commands(lines)
    assert kind == "error"
    assert "the engine acme of ext 1.0 raised ValueError: down" in text

    example.makeconftest("def pytest_codex_policy_chosen(): raise ValueError('not this')")
    lines, _ = github("-k", "prints")
    [(kind, text)] = commands(lines)
    assert kind == "error"
    assert "raised ValueError: not this" in text
    assert "def pytest_codex_policy_chosen(): raise ValueError" in "\n".join(lines)


@pytest.mark.slow
def test_without_workspaces_there_is_no_summary(github):
    """
    The plugin may be installed where it is not used; without Actions, nothing is held.
    """
    lines, summary = github("-k", "other")

    assert summary == ""
    assert not [each for each in lines if "stop-commands" in each]
