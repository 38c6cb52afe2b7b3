"""What pytest reports about tests with workspaces, beside plugins that end and repeat tests."""

from __future__ import annotations

import base64
import html
import json
import re
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

import jsonschema
import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.reports.schema import report_schema

from ..conftest import init_repo, scripts
from ..helpers.published import check_har, check_junit
from .runs import COMMAND, PYTEST, running


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


def sections(failures):
    """
    Return our sections of *failures*, each up to the next failure or pytest's summary.
    """
    parts = failures.split("- codex workspace -")[1:]
    return [re.split(r"\n(?:___|===)", part, maxsplit=1)[0] for part in parts]


def test_failures_show_what_happened_in_their_workspaces(project, monkeypatch):
    """
    Setup comes before the time of a test begins. A hung command is shown with its output and
    without our frames; fixtures, subtests and unittest's tests that fail show what was blocked,
    each its own, in at most 30 lines. In GitLab's log, setup is a section.
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
    old = failures[failures.index("_ TestOld.test_old ") :]
    part, whole = sections(old)[:2]
    assert "old-part.example" in part
    assert "old-part.example" not in whole
    assert "old-test.example" in whole
    parts = failures[failures.index("_ test_parts ") :]
    first, second = sections(parts)[:2]
    assert "first.example" in first
    assert "second.example" not in first
    for section in sections(failures):
        assert len(section.splitlines()) <= 31, section
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


SECRET = "hunter2/hunter2&"
LEAKS = """
echo "token $TOKEN" | tee leaked
printenv TOKEN >&2
curl -sS -H "Authorization: Bearer $TOKEN" -d "token=$TOKEN" \\
  "http://setup.example/$TOKEN?token=$TOKEN"
python3 -c 'import os, urllib.parse; print(urllib.parse.quote(os.environ["TOKEN"], safe=""))'
"""
RECORDED = """
import os
import pytest

@pytest.fixture
def leak(codex_workspace):
    ws = codex_workspace
    leaked = ws.exec("cat leaked", check=True).stdout
    ws.network.stub(host="api.example", text=leaked)
    ws.exec(f"curl -sS -H {leaked.strip()!r} https://api.example/", check=True)
    return ws

def test_passes(leak):
    pass

def test_fails(leak):
    leak.exec("echo the reason; curl -sS http://blocked.example/; cat leaked; exit 3", check=True)

def test_crashes(leak):
    os._exit(3)
"""


def test_a_run_has_one_report_of_all_its_workers(tmp_path, monkeypatch):
    """
    Its files have every test, workspace and request, also of a worker that crashed, and are what
    the published schemas say. JUnit has the failure with the network, and properties. A secret
    that everything prints and sends is nowhere.
    """
    monkeypatch.setenv("TOKEN", SECRET)
    init_repo(tmp_path / "repo", scripts(LEAKS))
    report = tmp_path / "report"

    shown = run(
        tmp_path,
        RECORDED,
        *("-n2", "--codex-report=report", "--junitxml=j.xml", "--max-worker-restart=1"),
        *("--codex-secret=TOKEN", "--codex-network-bodies=10000"),
    )

    assert f"codex report: {report / 'index.html'}" in shown
    assert (
        "warning: setup-script.sh of repo succeeded, but this went wrong on the network:" in shown
    )
    data = json.loads((report / "report.json").read_text())
    jsonschema.validate(data, report_schema())
    outcomes = {one["test"].partition("::")[2]: one["outcome"] for one in data["tests"]}
    assert outcomes == {"test_passes": "passed", "test_fails": "failed", "test_crashes": "failed"}
    by_test = {one["test"].partition("::")[2]: one for one in data["workspaces"]}
    assert by_test["test_fails"]["commands"][-1]["stdout"].startswith("the reason\n")
    assert "ended before the workspace did" in by_test["test_crashes"]["lost"]
    assert len({one["worker"] for one in data["workspaces"]}) > 1
    archive = json.loads((report / "network.har").read_text())
    check_har(archive)
    archives = [json.loads(one.read_text()) for one in (report / "har").iterdir()]
    for one in archives:
        check_har(one)
    assert sorted(len(one["log"]["entries"]) for one in archives) == [1, 2]
    entries = archive["log"]["entries"]
    hosts = {(one["_phase"], urlsplit(one["request"]["url"]).hostname) for one in entries}
    assert hosts == {
        ("setup", "setup.example"),
        ("test", "api.example"),
        ("test", "blocked.example"),
    }
    junit = (tmp_path / "j.xml").read_text()
    assert check_junit(junit) >= 10
    assert "GET http://blocked.example/ (plain-http)" in junit
    for name, value in (("codex_repo", "repo"), ("codex_image", "slim"), ("codex_blocked", "1")):
        assert f'<property name="{name}" value="{value}"' in junit
    written = [one for one in report.rglob("*") if one.is_file()]
    assert {"index.html", "network.har", "report.json"} <= {one.name for one in written}
    assert any(one.parent.name == "logs" for one in written)
    bodies = [
        base64.b64decode(request[name]).decode()
        for one in data["workspaces"]
        for request in (*one["setup_requests"], *one["requests"])
        for name in ("request_body", "response_body")
        if request[name]
    ]
    assert "token ***\n" in bodies
    texts = [shown, *bodies, *(one.read_text() for one in (*written, tmp_path / "j.xml"))]
    for form in (SECRET, quote(SECRET, safe=""), quote(SECRET), html.escape(SECRET)):
        assert not [text for text in texts if form in text]


INTERRUPTED = """
def test_first(codex_workspace):
    assert codex_workspace.exec("true").ok

def test_second(codex_workspace):
    codex_workspace.exec("curl -s http://blocked.example/; echo waiting")
    print("now", flush=True)
    codex_workspace.exec("sleep 600")
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)], ids=["Ctrl-C", "kill -9"]
)
def test_an_interrupted_run_has_a_report(tmp_path, number, code):
    """
    With everything until then. After kill -9, the command makes it from what is left.
    """
    init_repo(tmp_path / "repo", {"a": "1"})
    (tmp_path / "test_it.py").write_text(INTERRUPTED)
    arguments = ("--codex-repo=repo", "--codex-image=slim", "--codex-report=report", "-s")

    with running(*PYTEST, *arguments, "test_it.py", cwd=tmp_path) as process:
        process.until("now")
        process.kill(number)
        assert code == process.end(), process.output
    if number == signal.SIGKILL:
        assert not (tmp_path / "report" / "report.json").exists()
        for command in ("report", "clean"):
            subprocess.run([*COMMAND, command], cwd=tmp_path, check=True, timeout=120)

    data = json.loads((tmp_path / "report" / "report.json").read_text())
    jsonschema.validate(data, report_schema())
    first, second = data["workspaces"]
    assert [one["outcome"] for one in data["tests"]] == ["passed"]
    assert (first["lost"], [one["text"] for one in first["commands"]]) == ("", ["true"])
    assert second["test"] == "test_it.py::test_second"
    if number == signal.SIGINT:
        assert [one["host"] for one in second["requests"]] == ["blocked.example"]
        assert second["commands"][0]["stdout"].endswith("waiting\n")
    else:
        assert "ended before the workspace did" in second["lost"]
    assert "test_second" in (tmp_path / "report" / "index.html").read_text()


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
