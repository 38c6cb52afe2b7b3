"""The next workspace is started while a test runs, and is what it would be if started then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ..conftest import init_repo, scripts
from .runs import PYTEST, objects_of

TESTS = """
import json, pathlib, time
import pytest
from pytest_codex_workspace.engine import labels

SEEN = pathlib.Path("seen.json")

def containers(engine, session):
    found = engine.containers({{labels.KIND: "workspace"}})
    return [one.id for one in found if one.labels[labels.SESSION] == session]

def session_of(engine, ws):
    [one] = [one for one in engine.containers({{labels.KIND: "workspace"}}) if one.id == ws.id]
    return one.labels[labels.SESSION]

@pytest.mark.codex_network(allow=["a.example"])
def test_first(codex_workspace, codex_engine):
    ws = codex_workspace
    session = session_of(codex_engine, ws)
    deadline = time.monotonic() + 60
    while len(containers(codex_engine, session)) < 2:
        assert time.monotonic() < deadline, "no other workspace was started"
        time.sleep(0.05)
    SEEN.write_text(json.dumps(containers(codex_engine, session)))
    ws.exec("touch left; touch /tmp/left; sleep 100 >/dev/null 2>&1 &", check=True)
    ws.exec("curl -sS https://refused.example/")
    assert ws.network.requests()

def test_between(): pass

{mark}
def test_second(codex_workspace, codex_engine):
    ws = codex_workspace
    assert {taken} == (ws.id in json.loads(SEEN.read_text()))
    assert ws.network.requests() == [] == ws.network.since_start.requests()
    assert list(ws.diff(since="start")) == []
    assert not ws.path("left").exists() and not ws.path("/tmp/left").exists()
    assert "sleep" not in ws.exec("cat /proc/[0-9]*/comm", check=True).stdout
    assert ws.exec(["printenv", "A"]).stdout == {variable!r}
    assert ws.setup.cache == {cache!r}
    ws.exec("curl -sS https://a.example/; curl -sS https://b.example/")
    found = {{one.host: one.verdict for one in ws.network.requests()}}
    assert found["a.example"] == "blocked" != found["b.example"]
    assert containers(codex_engine, session_of(codex_engine, ws)).count(ws.id) == 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    Return the directory of a repository with a setup script.
    """
    init_repo(tmp_path / "repo", {"a": "1", **scripts("echo setup >/made\n")})
    return tmp_path


@pytest.mark.parametrize("taken", [True, False])
def test_the_next_workspace_is_started_while_a_test_runs(project, engine, taken):
    """
    S2: It is a fresh one, with the rules of its own test. One with other variables than were
    expected is started anew, and what was started for it is removed.
    """
    conftest = "import pytest\n@pytest.fixture\ndef codex_env(request):\n    return {'A': '1'}\n"
    variable = "1\n"
    if not taken:
        conftest = conftest.replace("'1'", "request.node.name")
        variable = "test_second\n"
    (project / "conftest.py").write_text(conftest)
    (project / "test_it.py").write_text(
        TESTS.format(
            mark='@pytest.mark.codex_network(allow=["b.example"])',
            taken=taken,
            variable=variable,
            cache="hit" if taken else "miss",
        )
    )

    with subprocess.Popen(
        [*PYTEST, "-vv", "--codex-repo=repo", "--codex-image=slim", "test_it.py"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        output = run.communicate(timeout=300)[0]

    assert run.returncode == 0, output
    assert [] == objects_of(engine, run.pid, "containers")
