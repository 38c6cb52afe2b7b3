"""What pytest reports about tests with workspaces, beside plugins that end and repeat tests."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pytest_codex_workspace.engine import labels

from ..conftest import init_repo, scripts
from .runs import COMMAND, PYTEST


def run(project: Path, test: str, *arguments: str) -> str:
    (project / "test_it.py").write_text(test)
    return subprocess.run(
        [*PYTEST, "--codex-repo=repo", "--codex-image=slim", *arguments, "test_it.py"],
        cwd=project,
        capture_output=True,
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
import unittest

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

class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _workspace(self, codex_workspace):
        self.ws = codex_workspace

    def test_old(self):
        with self.subTest("part"):
            self.ws.exec("curl -fsS http://old-part.example/", check=True)
        self.ws.exec("curl -fsS http://old-test.example/")
        self.fail("no")
"""

CONFTEST = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item):
    print("the time begins")
"""


def test_failures_show_what_happened_in_their_workspaces(project):
    """
    Setup comes before the time of a test begins. A hung command is shown with its output and
    without our frames; fixtures, subtests and unittest's tests that fail show what was blocked,
    each its own, in at most 30 lines.
    """
    (project / "conftest.py").write_text(CONFTEST)

    shown = run(project, LIMITS, "-s", "--timeout=200")

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
    old = failures[failures.index("_ TestOld.test_old ") :]
    part, whole = (one.partition("\n___")[0] for one in old.split("- codex workspace -")[1:3])
    assert "old-part.example" in part
    assert "old-part.example" not in whole
    assert "old-test.example" in whole
    parts = failures[failures.index("_ test_parts ") :]
    first, second = (part.partition("\n___")[0] for part in parts.split("- codex workspace -")[1:3])
    assert "first.example" in first
    assert "second.example" not in first
    for section in failures.split("- codex workspace -")[1:]:
        assert len(section.partition("\n___")[0].splitlines()) <= 31, section
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
    codex_workspace.exec("echo the reason; curl -sS http://blocked.example/; exit 3", check=True)
"""


def test_a_run_has_one_report_of_all_its_workers(tmp_path, monkeypatch):
    """
    Its files have every test, workspace and request. JUnit has the failure with the network, and
    properties. No file has the secret that setup printed.
    """
    monkeypatch.setenv("TOKEN", SECRET)
    setup = 'echo "token $TOKEN"\ncurl -sS http://setup.example/\n'
    init_repo(tmp_path / "repo", scripts(setup))
    report = tmp_path / "report"

    shown = run(
        tmp_path,
        RECORDED,
        "-n2",
        "--codex-report=report",
        "--junitxml=j.xml",
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
    assert by_test["test_fails"]["commands"][0]["stdout"].startswith("the reason\n")
    entries = json.loads((report / "network.har").read_text())["log"]["entries"]
    hosts = [(one["_phase"], urlsplit(one["request"]["url"]).hostname) for one in entries]
    assert hosts == [("setup", "setup.example"), ("test", "blocked.example")]
    junit = (tmp_path / "j.xml").read_text()
    assert "GET http://blocked.example/ (plain-http)" in junit
    for name, value in (("codex_repo", "repo"), ("codex_image", "slim"), ("codex_blocked", "1")):
        assert f'<property name="{name}" value="{value}"' in junit
    written = [one for one in report.rglob("*") if one.is_file()]
    assert {"index.html", "network.har", "report.json"} <= {one.name for one in written}
    assert any(one.parent.name == "logs" for one in written)
    assert not [one for one in (*written, tmp_path / "j.xml") if SECRET in one.read_text()]


def test_a_setup_that_dies_of_a_refused_request_says_so(tmp_path):
    """
    So do the terminal, the error, the last event and the report.
    """
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
    assert "http: allow" in plain.stderr
    error = json.loads(events.stdout.splitlines()[-1])
    [problem] = error["problems"]
    assert (error["where"], problem["reason"], problem["count"]) == (where, "plain-http", 1)
    assert problem["policy"] == {"http": "allow"}
    [workspace] = json.loads((tmp_path / "report" / "report.json").read_text())["workspaces"]
    assert where in workspace["lost"]
