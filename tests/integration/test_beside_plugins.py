"""Other plugins change HTTP, sockets and time for the tests, and the workspaces do not notice."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from pytest_codex_workspace.engine import labels

from ..conftest import init_repo, scripts
from .runs import EVERY_PLUGIN

CONFTEST = """
import datetime, http.client, os, socket, ssl, subprocess, threading, time
from unittest import mock
import freezegun, httpretty, pytest, requests, responses, time_machine, urllib3

LATE = datetime.datetime(2045, 1, 1, tzinfo=datetime.timezone.utc)

@pytest.fixture
def responses_():
    with responses.RequestsMock() as mocked: yield mocked

@pytest.fixture
def httpretty_():
    with httpretty.enabled(allow_net_connect=False): yield

@pytest.fixture
def freezegun_():
    with freezegun.freeze_time(LATE): yield

@pytest.fixture
def time_machine_():
    with time_machine.travel(LATE, tick=False): yield

@pytest.fixture
def broken(monkeypatch, tmp_path):
    def no(*_, **__): raise AssertionError("the test's own")
    for owner, name in (
        (socket, "socket"), (socket, "create_connection"), (socket, "socketpair"),
        (ssl, "SSLContext"), (http.client, "HTTPConnection"), (requests.Session, "request"),
        (urllib3.HTTPConnectionPool, "urlopen"), (requests.adapters.HTTPAdapter, "send"),
        (subprocess, "Popen"), (subprocess, "run"), (time, "sleep"), (time, "time"),
        (time, "monotonic"),
    ):
        monkeypatch.setattr(owner, name, no)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
"""

TEST = """
import pytest, time

def works(ws):
    assert ws.exec("cat", input="x").stdout == "x"
    ws.path("file").write_text("y")
    assert ws.exec(["cat", "file"]).stdout == "y"
    assert ws.setup.cache == {cache!r}

{mark}
def test_it({fixture}, codex_workspace): works(codex_workspace)
"""

OTHER = """
import os

def test_it(broken, codex_workspace_factory, tmp_path):
    before = dict(os.environ), os.getcwd()
    assert codex_workspace_factory(repo="other").path("a").read_text() == "1"
    assert (dict(os.environ), os.getcwd()) == before
    assert list(tmp_path.iterdir()) == []
"""

CASES = {
    "vcr": ("@pytest.mark.vcr", "request"),
    "block_network": ("@pytest.mark.block_network", "request"),
    "socket": ("@pytest.mark.disable_socket", "request"),
    "hosts": ("@pytest.mark.allow_hosts(['127.0.0.1'])", "request"),
    "requests_mock": ("", "requests_mock"),
    "responses": ("", "responses_"),
    "httpretty": ("", "httpretty_"),
    "freezegun": ("", "freezegun_"),
    "time_machine": ("", "time_machine_"),
    "pyfakefs": ("", "fs"),
    "broken": ("", "broken"),
    "plain": ("", "request"),
}
"""A test's mark, and the fixture that is set up before its workspace."""


def run(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            *EVERY_PLUGIN,
            "-v",
            "--codex-repo=repo",
            "--codex-image=slim",
            "--timeout=100",
            *arguments,
        ],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.promise("S16")
def test_workspaces_work_beside_other_plugins(tmp_path, engine):
    """
    S16: Each test gets its workspace while a plugin or patch is active, and so does the test after
    it. Nothing in the cache has a time of theirs: a later run finds it in use since today.
    """
    init_repo(tmp_path / "repo", scripts("echo set up\n"))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for number, (name, (mark, fixture)) in enumerate(CASES.items()):
        text = TEST.format(mark=mark, fixture=fixture, cache="hit" if number else "miss")
        (tmp_path / f"test_{number:02}_{name}.py").write_text(text)
    init_repo(tmp_path / "other", {"a": "1"})
    (tmp_path / "test_other.py").write_text(OTHER)
    before = time.time()

    shown = run(tmp_path)

    assert shown.count("PASSED") == len(CASES) + 1
    made = [labels.created(one.labels) for one in engine.images({labels.KIND: None})]
    assert max(made) < time.time() + 60
    assert any(one > before - 1 for one in made)


def test_a_first_workspace_under_a_frozen_clock_is_cached_for_others(tmp_path):
    """
    The clock of the test that happens to come first neither stamps the cache nor ends its use.
    """
    init_repo(tmp_path / "repo", scripts("echo set up\n"))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    first = TEST.format(mark="", fixture="time_machine_", cache="miss")
    (tmp_path / "test_first.py").write_text(first)
    run(tmp_path)

    (tmp_path / "test_first.py").write_text(TEST.format(mark="", fixture="request", cache="hit"))
    run(tmp_path)
