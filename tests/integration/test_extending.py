"""The projects of examples/, installed, and plugins that fail, on the engine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.engine.protocol import Engine

from ..conftest import init_repo, scripts
from ..helpers.distributions import install_examples
from .runs import PYTEST, objects_of

TESTS = """
import pytest


@pytest.mark.reads
def test_own(codex_workspace):
    codex_workspace.network.stub(host="a.example", text="x")
    for method in ("GET", "POST"):
        codex_workspace.exec(f"curl --silent --request {method} https://a.example/")


def test_one(codex_workspace_module):
    codex_workspace_module.exec("curl --silent http://b.example/")


def test_two(codex_workspace_module):
    codex_workspace_module.exec("curl --silent http://c.example/; curl --silent http://d.example/")
"""

FAILING_PLUGIN = """
import os


def pytest_report_header():
    return f"process {os.getpid()}"


def pytest_codex_policy_chosen(policy, node):
    if "policy" in node.name:
        return "strct"


def pytest_codex_setup_finished(setup, error, node):
    if "setup" in node.name:
        raise ValueError(f"not this setup: {setup and setup.cache}")


def pytest_codex_workspace_started(workspace, node):
    if "start" in node.name:
        raise ValueError("not this start")


def pytest_codex_request_judged(request, node):
    if "request" in node.name:
        raise ValueError(f"not {request.host}")


def pytest_codex_workspace_stopped(workspace, node):
    print("told of the end:", node.name, workspace.network.requests())
    if "stop" in node.name:
        raise ValueError("not this end")


def pytest_codex_report_written(path, kind):
    raise ValueError(f"not this {kind}")
"""

FAILING_TESTS = """
def ask(ws):
    ws.exec("curl --silent http://b.example/; curl --silent http://c.example/")


def test_policy(codex_workspace): pass
def test_setup(codex_workspace): pass
def test_start(codex_workspace): pass
def test_request(codex_workspace): ask(codex_workspace)
def test_stop(codex_workspace): pass
def test_shared_request(codex_workspace_module): ask(codex_workspace_module)
def test_shared(codex_workspace_module): ask(codex_workspace_module)
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A repository with a setup script.
    """
    return init_repo(tmp_path_factory.mktemp("extending") / "demo", scripts("echo hello\n"))


@pytest.fixture(scope="module")
def lines(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """
    Run tests with the plugin and the engine of examples/, and return what each has written.
    """
    folder = tmp_path_factory.mktemp("installed")
    install_examples(folder / "site", "workspace-metrics", "recording-engine")
    (folder / "test_it.py").write_text(TESTS)
    # Its setup is made in this run.
    repo = init_repo(folder / "demo", scripts("echo hello\n"))
    done = subprocess.run(
        [
            *(*PYTEST, "-n", "2", "--dist", "loadfile", f"--codex-repo={repo}"),
            *("--codex-image=slim", "--codex-engine=recording", "--codex-report=report"),
            *("--workspace-metrics=metrics.jsonl", "test_it.py"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "engine recording:// (the engine recording of recording-engine 1.0)" in done.stdout
    metrics, containers = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("metrics.jsonl", "containers.jsonl")
    )
    return metrics, containers


def test_the_plugin_of_the_example_has_a_line_for_each_workspace(lines):
    """
    Also in a worker of pytest-xdist, and for a workspace that tests share.
    """
    own, shared = [one for one in lines[0] if one["event"] == "workspace"]

    # The policy of the hook refuses POST, although a stub would answer.
    assert ("test_it.py::test_own", {"stubbed": 1, "blocked": 1}) == (
        own["owner"],
        own["requests"],
    )
    assert ("test_it.py", {"blocked": 3}) == (shared["owner"], shared["requests"])
    assert (2, 2) == (own["commands"], shared["commands"])


def test_the_plugin_knows_setups_and_reports(lines):
    """
    The report is written by the controller, once.
    """
    setups = [one["cache"] for one in lines[0] if one["event"] == "setup"]
    reports = [one for one in lines[0] if one["event"] == "report"]

    assert ["hit", "miss"] == sorted(setups)
    assert ["html", "har", "json"] == [one["kind"] for one in reports]
    assert all(one["bytes"] for one in reports)


def test_the_engine_of_the_example_has_created_the_containers(lines):
    """
    The proxy, its network's holders, and at least both workspaces, which join them.
    """
    networks = [one["network"] for one in lines[1]]

    assert len([one for one in networks if one.startswith("container:")]) >= 2
    assert len({one["container"] for one in lines[1]}) == len(lines[1])


def test_a_plugin_that_fails_fails_its_test_and_loses_no_workspace(
    tmp_path: Path, repo: Path, engine: Engine
) -> None:
    """
    The text names it; what it was not told in time is no matter. The report fails the run.
    """
    (tmp_path / "conftest.py").write_text(FAILING_PLUGIN)
    (tmp_path / "test_it.py").write_text(FAILING_TESTS)

    done = subprocess.run(
        [
            *(*PYTEST, "-rA", f"--codex-repo={repo}", "--codex-image=slim"),
            "--codex-report=report",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    text = done.stdout
    errors = [line for line in text.splitlines() if line.startswith("ERROR ")]
    assert ["policy", "request", "setup", "shared_request", "start", "stop"] == sorted(
        line.split("::test_")[1].split()[0] for line in errors
    ), text
    plugin = f"of the plugin {tmp_path}/conftest.py raised ValueError: "
    for name, said in {
        "setup_finished": "not this setup: ",
        "workspace_started": "not this start",
        "request_judged": "not b.example",
        "workspace_stopped": "not this end",
        "report_written": "not this html",
    }.items():
        assert f"the hook pytest_codex_{name} {plugin}{said}" in text
    assert f"implemented by {tmp_path}/conftest.py" in text
    # Of a workspace whose start has failed a hook, too.
    assert "told of the end: test_start []" in text
    assert "4 passed, 6 errors" in text
    pid = int(text.partition("process ")[2].split()[0])
    assert [] == objects_of(engine, pid, "containers") == objects_of(engine, pid, "networks")


def test_a_report_that_a_plugin_refuses_fails_a_green_run(tmp_path: Path, repo: Path) -> None:
    """
    Tests that pass do not hide it. The setup that has failed is told once.
    """
    (tmp_path / "conftest.py").write_text(FAILING_PLUGIN)
    (tmp_path / "test_it.py").write_text("def test_it(codex_workspace): pass")

    done = subprocess.run(
        [*PYTEST, f"--codex-repo={repo}", "--codex-image=slim", "--codex-report=report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in done.stdout
    assert pytest.ExitCode.TESTS_FAILED == done.returncode
    assert "codex error: the hook pytest_codex_report_written of the plugin" in done.stdout


def test_a_failed_setup_is_told_once(tmp_path: Path) -> None:
    """
    Later tests get the same error without a further run of the script.
    """
    broken = init_repo(tmp_path / "broken", scripts("exit 7\n"))
    (tmp_path / "conftest.py").write_text(
        "def pytest_codex_setup_finished(setup, error):\n"
        "    print('told', setup, error.exit_code)\n"
        "    raise ValueError('not this failure')\n"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_one(codex_workspace): pass\n\ndef test_two(codex_workspace): pass\n"
    )

    done = subprocess.run(
        [*PYTEST, f"--codex-repo={broken}", "--codex-image=slim"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 errors" in done.stdout
    assert 1 == done.stdout.count("told None 7")
    assert "SetupError" in done.stdout
    assert "raised ValueError: not this failure" in done.stdout
