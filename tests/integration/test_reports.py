"""What pytest reports about tests with workspaces, beside plugins that end and repeat tests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from pytest_codex_workspace.engine import labels

from ..conftest import init_repo, scripts
from ..helpers.ci import commands
from ..helpers.events import read_events
from .runs import COMMAND, PYTEST


def run(project: Path, test: str, *arguments: str) -> str:
    (project / "test_it.py").write_text(test)
    return subprocess.run(
        [*PYTEST, "--codex-repo=repo", "--codex-image=slim", *arguments, "test_it.py"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    ).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    A directory with a repository that needs setup.
    """
    init_repo(tmp_path / "repo", scripts("echo hello from setup\n"))
    return tmp_path


LIMITS = """
import pytest

@pytest.mark.timeout(20)
def test_hangs(codex_workspace):
    codex_workspace.exec("echo waiting for the license server; kill -STOP $$")

@pytest.fixture
def built(codex_workspace):
    codex_workspace.exec("curl -fsS http://in-setup.example/", check=True)

@pytest.fixture
def late(codex_workspace):
    yield
    codex_workspace.exec("curl -fsS http://in-teardown.example/", check=True)

def test_setup(built): pass

def test_teardown(late): pass

def test_parts(codex_workspace, subtests):
    for name in ("first", "second"):
        with subtests.test(name):
            assert codex_workspace.exec(f"curl -fsS http://{name}.example/").ok
"""

CONFTEST = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item):
    print("the time begins")
"""


def test_failures_show_what_happened_in_their_workspaces(project, monkeypatch):
    """
    Setup comes before the time of a test begins. A hung command is shown with its output and
    without our frames; fixtures and subtests that fail show what was blocked, each its own. In
    GitLab's log, setup is a section.
    """
    (project / "conftest.py").write_text(CONFTEST)

    monkeypatch.setenv("GITLAB_CI", "true")

    shown = run(project, LIMITS, "-s", "--timeout=200")

    # A carriage return is a line end here.
    begin = re.search(r"section_start:\d+:(\w+)\[collapsed=true]\n\x1b\[0Kcodex: running ", shown)
    assert begin, shown
    section = shown[begin.end() : shown.index(f":{begin[1]}\n\x1b[0K\n")]
    assert section.splitlines()[1] == "  | hello from setup"
    assert 0 < shown.index("hello from setup") < shown.index("the time begins"), shown
    failures = shown[shown.index("= FAILURES =") :]
    hung = failures[failures.index("_ test_hangs _") : failures.index("_ test_parts ")]
    assert "Failed: Timeout" in hung
    assert "a command was still running, after" in hung
    assert "  | waiting for the license server" in hung
    assert "threading.py" not in hung
    assert "channel.py" not in hung
    reasons = shown.splitlines()
    for place in ("in-setup", "in-teardown"):
        assert any(f"{place}.example" in line and "plain-http" in line for line in reasons)
    parts = failures[failures.index("_ test_parts ") :]
    first, second = (part.partition("\n___")[0] for part in parts.split("- codex workspace -")[1:3])
    assert "first.example" in first
    assert "second.example" not in first
    assert "second.example" in second
    assert "first.example" not in second


def test_a_process_that_is_ended_shows_the_command(project):
    """
    pytest-timeout's method for programs that no signal interrupts leaves no time for a report.
    """
    shown = run(project, LIMITS, "--timeout=200", "--timeout-method=thread", "-k", "hangs")

    assert "a command was still running, after" in shown
    assert "  | waiting for the license server" in shown


RERUN = """
import pytest
attempts = []

@pytest.mark.flaky(reruns=2)
def test_it(codex_workspace):
    attempts.append(codex_workspace)
    assert len(attempts) == 2
"""


def test_only_attempts_that_failed_are_kept(project, engine):
    """
    The second attempt passes.
    """
    shown = run(project, RERUN, "--codex-keep=failed")

    kept = {
        tag for image in engine.images({labels.KIND: "kept"}) for tag in image.tags if tag in shown
    }
    try:
        assert len(kept) == 1, shown
        assert "(attempt 2)" not in shown
        assert "1 rerun" in shown
    finally:
        for tag in kept:
            engine.remove_image(tag)


SECRET = "hunter2-hunter2"
RECORDED = """
import pytest

def test_passes(codex_workspace):
    assert codex_workspace.exec("true").ok

def test_fails(codex_workspace):
    done = codex_workspace.exec("curl -sS http://blocked.example/; echo ::error::evil; exit 3")
    print(done.stdout, "\\n##[add-mask]evil")
    codex_workspace.exec("echo the reason; echo '##[error]evil'; exit 3", check=True)
"""


def test_a_run_has_one_report_of_all_its_workers(tmp_path, monkeypatch):
    """
    Its files have every test, workspace and request. JUnit has the failure with the network, and
    properties. No file has the secret that setup printed. For GitHub, the controller writes one
    summary and annotates, and nothing that a workspace has printed is a command.
    """
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    setup = 'echo "token $TOKEN"; echo "::error::$TOKEN"; echo "##[error]x"\n'
    setup += "curl -sS http://setup.example/\n"
    init_repo(tmp_path / "repo", scripts(setup))
    report = tmp_path / "report"

    shown = run(
        tmp_path,
        RECORDED,
        "-n2",
        "--codex-report=report",
        "--junitxml=j.xml",
        "-ojunit_logging=system-out",
        "--codex-secret=TOKEN",
    )

    assert f"codex report: {report / 'index.html'}" in shown
    assert (
        "warning: setup-script.sh of repo succeeded, but this went wrong on the network:" in shown
    )
    data = json.loads((report / "report.json").read_text())
    outcomes = {one["test"].partition("::")[2]: one["outcome"] for one in data["tests"]}
    assert outcomes == {"test_passes": "passed", "test_fails": "failed"}
    by_test = {one["test"].partition("::")[2]: one for one in data["workspaces"]}
    assert by_test["test_fails"]["commands"][1]["stdout"].startswith("the reason\n")
    [(level, text)] = commands(shown.splitlines())
    assert (level, "setup.example" in text) == ("warning", True)
    summary = (tmp_path / "summary.md").read_text()
    assert summary.count("<h3>Tests in Codex workspaces</h3>") == 1
    assert "<code>1 failed, 1 passed</code>" in summary
    assert "<td><code>test_it.py::test_fails</code></td>" in summary
    entries = json.loads((report / "network.har").read_text())["log"]["entries"]
    hosts = [(one["_phase"], urlsplit(one["request"]["url"]).hostname) for one in entries]
    assert hosts == [("setup", "setup.example"), ("test", "blocked.example")]
    junit = (tmp_path / "j.xml").read_text()
    assert "GET http://blocked.example/ (plain-http)" in junit
    for name, value in (("codex_repo", "repo"), ("codex_image", "slim"), ("codex_blocked", "1")):
        assert f'<property name="{name}" value="{value}"' in junit
    assert 'name="codex_problems" value="blocked: [test] GET http://blocked.example/' in junit
    assert re.search("<system-out>[^<]*, cache (miss|hit)\nexit code 0 after .*: true\n", junit)
    written = [one for one in report.rglob("*") if one.is_file()]
    assert {"index.html", "network.har", "report.json"} <= {one.name for one in written}
    assert any(one.parent.name == "logs" for one in written)
    assert not [
        one
        for one in (*written, tmp_path / "j.xml", tmp_path / "summary.md")
        if SECRET in one.read_text()
    ]


def test_a_setup_that_dies_of_a_refused_request_says_so(tmp_path, monkeypatch):
    """
    So do the terminal, the error, the last event, the report, and at its line the annotation of
    GitHub.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    init_repo(tmp_path / "repo", scripts("set -e\ncurl -fsS http://gone.example/ >/dev/null\n"))
    command = [*COMMAND, "run", "--image=slim", "--report=report"]

    plain, events = (
        subprocess.run(
            [*command, *more, "repo"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        for more in ((), ("--json",))
    )

    where = "line 2: curl -fsS http://gone.example/ >/dev/null"
    assert (plain.returncode, events.returncode) == (22, 22)
    for text in (plain.stdout, plain.stderr):
        assert where in text
        assert "blocked: [setup] GET http://gone.example/ (plain-http)" in text
        assert "http: allow" in text
    for done in (plain, events):
        [found] = [each for each in done.stderr.splitlines() if each.startswith("::")]
        assert "file=repo/codex-workspace-scripts/setup-script.sh,line=2::" in found
        assert "plain-http" in found
    assert (tmp_path / "summary.md").read_text().count("<h3>codex-workspace run</h3>") == 2
    error = read_events(events.stdout.splitlines())[-1]
    [problem] = error["problems"]
    assert (error["where"], problem["reason"], problem["count"]) == (where, "plain-http", 1)
    assert problem["policy"] == {"http": "allow"}
    [workspace] = json.loads((tmp_path / "report" / "report.json").read_text())["workspaces"]
    assert where in workspace["lost"]


def test_output_of_a_command_is_no_command_of_github(tmp_path, monkeypatch):
    """
    It is as the command has written it, between two marks on standard error.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    init_repo(tmp_path / "repo", {"a": "1"})
    evil = "curl -s http://a.example/; echo '::error::a##[error]b'; printf '::error::c' >&2"
    words = [*COMMAND, "exec", "repo", "--image=slim", "--", evil]

    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.endswith("\n::error::a##[error]b\n")
    lines = done.stderr.splitlines()
    [begin] = [at for at, one in enumerate(lines) if one.startswith("::stop-commands::")]
    assert "::error::c" in lines[begin + 1 :]
    [(level, text)] = commands(lines)
    assert (level, "GET http://a.example/ (plain-http)" in text) == ("warning", True)


FETCHES = """
def test_it(codex_workspace):
    assert codex_workspace.exec(["curl", "-fsS", "-o", "/dev/null", "{url}"]).ok
    codex_workspace.network.assert_nothing_blocked()
"""


@pytest.mark.promise("S10")
def test_a_policy_that_is_suggested_for_a_run_is_sufficient(tmp_path, pip_index):
    """
    S10: A test fails because its policy refuses a host. With the policy that is suggested for its
    report, for scripts and tests, it passes, and nothing else does.
    """
    url = f"{pip_index}/simple/six/"
    init_repo(tmp_path / "repo", scripts(f"curl -fsS -o /dev/null -X HEAD --head {url}\n"))
    refused = run(tmp_path, FETCHES.format(url=url), "--codex-network=offline", "--codex-report=r")

    suggest = [*COMMAND, "policy", "suggest", "r"]
    suggested = subprocess.run(suggest, cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / "policy.yaml").write_text(suggested.stdout)
    both = ("--codex-network=policy.yaml", "--codex-network-setup=policy.yaml")
    allowed = run(tmp_path, FETCHES.format(url=url), *both, "--codex-report=r")

    assert "1 failed" in refused
    assert f"such as HEAD {url}" in suggested.stdout
    assert "(CONNECT, HEAD; 1 blocked) of setup-script.sh, test_it.py::test_it" in suggested.stdout
    assert "1 passed" in allowed, allowed
    # Now that it is known what the tunnel carried, methods are limited, too.
    again = subprocess.run(suggest, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert yaml.safe_load(again) == {
        **yaml.safe_load(suggested.stdout),
        "methods": ["GET", "HEAD"],
    }
