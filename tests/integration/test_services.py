"""Services of a repository run beside the tests, and a server that setup left is missed."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from pytest_codex_workspace.options.sources import FILE

from ..conftest import commit, init_repo, scripts
from .runs import COMMAND, PYTEST

SETUP = """\
set -eu
pip --version >/dev/null
nohup python3 -m http.server 6379 --bind 127.0.0.1 >/dev/null 2>&1 &
until python3 -c 'import socket; socket.create_connection(("127.0.0.1", 6379))'; do :; done
"""
RESUME = "echo resumed >web/index.html\n"
SERVICES = """\
image: slim
env: {WHO: workspace}
network: {setup: https-only, tests: offline}
services:
  api:
    # Fails unless `web` is ready, whatever the order of the file.
    command: |
      set -eu
      test "$(curl -sS localhost:8000/index.html)" = resumed
      answer=$(curl -s -w '%{http_connect}' https://example.com/from-a-service || true)
      test "$answer" = 403 || { echo "no database: $answer"; exit 3; }
      exec python3 -u api.py
    ready: {output: "api is up for workspace and service", command: "test -e /tmp/up"}
    env: {SERVICE: service}
    user: nobody
    after: web
  web:
    command: [python3, -m, http.server, 8000]
    cwd: web
    ready: {port: 8000}
"""
API = """\
import os, pathlib, signal, sys
pathlib.Path("/tmp/up").touch()
signal.signal(signal.SIGUSR1, lambda *_: sys.exit("panic: the disk of api is full"))
print("api is up for", os.environ["WHO"], "and", os.environ["SERVICE"], "as", os.getuid())
while True:
    signal.pause()
"""
TEST = """\
import time

import pytest
from pytest_codex_workspace import ServiceError

def test_services(codex_workspace_factory, codex_repo):
    ws = codex_workspace_factory()
    assert ["web", "api"] == list(ws.services)
    assert all(one.running for one in ws.services.values())
    assert "as 65534" in ws.services["api"].output
    assert "resumed" == ws.exec("curl -sS localhost:8000/index.html").stdout.strip()
    ws.network.assert_blocked(host="example.com", phase="test", reason="offline")
    assert 1 == len(ws.network.requests(host="example.com"))

    ws.services["web"].stop()
    assert not ws.services["web"].running
    assert 7 == ws.exec("curl -sS localhost:8000").exit_code
    ws.services["web"].restart()
    assert "resumed" == ws.exec("curl -sS localhost:8000/index.html").stdout.strip()

    with ws.phase("setup"):
        assert not ws.services["web"].running
    assert all(one.running for one in ws.services.values())
    assert 0 == ws.exec("curl -sS localhost:8000").exit_code

    # On another network, this one fails.
    with pytest.raises(ServiceError, match="the service api ended with exit code 3") as caught:
        codex_workspace_factory(network={"policy": "https-only"})
    assert "  | no database: " in str(caught.value)
    assert "codex-workspace shell --from=setup" in str(caught.value)

    # What services need may not be there before both scripts have run.
    assert {} == codex_workspace_factory(setup=False).services

def test_a_service_dies(codex_workspace):
    codex_workspace.exec("pkill -USR1 -f api.py", check=True)
    while codex_workspace.services["api"].running:
        time.sleep(0.01)
    assert codex_workspace.exec("false").ok

def test_a_server_of_setup_is_missed(codex_workspace):
    assert [(6379,)] == [one.ports for one in codex_workspace.setup.missing]
    codex_workspace.exec("curl -sS http://127.0.0.1:6379/", check=True)
"""


def run(*command: str, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=where, text=True, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.promise("S6", "S12", "S16")
def test_services_run_beside_the_tests(tmp_path: Path) -> None:
    """
    They start after both scripts, in order, on the network of tests. One that dies is named by the
    failed test, and so is a server that setup had started. One that does not come up is an error.
    The command starts them as well.
    """
    files = {FILE: SERVICES, "api.py": API, "web/.keep": "", **scripts(SETUP, RESUME)}
    repo = init_repo(tmp_path / "repo", files)
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TEST))

    done = run(*PYTEST, "--codex-repo=repo", where=tmp_path)

    out = done.stdout
    assert "2 failed, 1 passed" in out, out + done.stderr
    left = "setup-script.sh left python3 -m http.server 6379 --bind 127.0.0.1 (port 6379) running"
    assert left in out
    _, dies, missed = out.split("-- codex workspace --")
    assert "the service api ended with exit code 1\n" in dies
    assert "  | panic: the disk of api is full\n" in dies
    assert "(port 6379), which the scripts had started, is gone" in missed
    entry = '{server-6379: {command: "python3 -m http.server 6379 --bind 127.0.0.1", ready:'
    assert entry in missed

    # With the entry that was suggested, the server is there.
    entry = missed.partition("services: {")[2].partition("}}; for Codex")[0] + "}"
    name, _, value = entry.partition(": ")
    commit(repo, {FILE: f"{SERVICES}  {name}: {value}\n"})
    command = ("exec", "repo", "--", "curl -sS http://127.0.0.1:6379/")
    done = run(*COMMAND, *command, where=tmp_path)
    assert (0, True) == (done.returncode, "api.py" in done.stdout), done.stderr
    assert "services: web, api, server-6379" in done.stderr
    assert "warning" not in done.stderr
