"""After a normal end, a failure, Ctrl-C or kill -9, nothing of ours keeps running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.projection.repository import open_repository

from ..conftest import init_repo, scripts
from .runs import PYTEST, heed_signals, objects_of, until

TEST = """
import pathlib, time

def test_it(codex_workspace):
    codex_workspace.exec("true", check=True)
    pathlib.Path("started").touch()
    {body}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    Return a repository with setup, and a test beside it.
    """
    init_repo(tmp_path / "repo", {"a": "1", **scripts("echo hello from setup\n")})
    return tmp_path


RUNS: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _end_runs():
    """
    End the processes that a failed test left running.
    """
    yield
    while RUNS:
        run = RUNS.pop()
        run.kill()
        run.wait()
        run.stdout.close()


def start(project: Path, body: str, *arguments: str) -> subprocess.Popen[str]:
    (project / "test_it.py").write_text(TEST.format(body=body))
    run = subprocess.Popen(
        [*PYTEST, "--codex-repo=repo", "--codex-image=slim", *arguments, "test_it.py"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_signals,
    )
    RUNS.append(run)
    return run


@pytest.mark.parametrize(
    ("body", "code"), [("pass", 0), ("assert False", 1), ("raise KeyboardInterrupt", 2)]
)
def test_after_each_kind_of_end_nothing_is_left(project, engine, body, code):
    """
    Nothing is left after a pass, a failure or an interruption, but the image of a failed
    workspace that was to be kept, whose name is in the report.
    """
    run = start(project, body, "--codex-keep=failed")
    output = run.communicate(timeout=300)[0]

    assert code == run.returncode, output
    kept = [
        tag for image in engine.images({labels.KIND: "kept"}) for tag in image.tags if tag in output
    ]
    assert len(kept) == (body == "assert False"), output
    for tag in kept:
        engine.remove_image(tag)
    assert objects_of(engine, run.pid, "containers") == []
    assert objects_of(engine, run.pid, "networks") == []
    assert "hello from setup" in output
    assert "codex workspaces: cache miss 1" in output


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 2),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
    ],
)
def test_a_signal_in_a_test_cleans_up(project, engine, number, code):
    """
    Ctrl-C has pytest's own exit code. A signal that ends other programs ends pytest, too, after
    its clean-up.
    """
    run = start(project, "codex_workspace.exec('sleep 300')")
    assert until((project / "started").exists, 300)
    assert objects_of(engine, run.pid, "containers")

    run.send_signal(number)
    output = run.communicate(timeout=60)[0]

    assert code == run.returncode, output
    assert objects_of(engine, run.pid, "containers") == []
    assert objects_of(engine, run.pid, "networks") == []


@pytest.mark.parametrize("line", ["starting", "projecting", "running codex", "hello from setup"])
def test_an_interrupted_command_leaves_nothing(project, engine, line):
    """
    An interrupted command leaves nothing behind at any step, from the first network to the last
    image.
    """
    command = [sys.executable, "-u", "-m", "pytest_codex_workspace.cli", "run", "--image=slim"]
    run = subprocess.Popen(
        [*command, "--cache=refresh", "repo"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_signals,
    )
    RUNS.append(run)
    if line == "starting":
        assert until(lambda: objects_of(engine, run.pid, "networks"), 300)
    else:
        assert any(line in shown for shown in run.stdout)

    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=60)[0]

    assert run.returncode == -signal.SIGINT, output
    assert objects_of(engine, run.pid, "containers") == []
    assert objects_of(engine, run.pid, "networks") == []


FORWARDER = """
import socket, sys, threading

def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(64)
while True:
    client, _ = server.accept()
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(sys.argv[2])
    for pair in ((client, engine), (engine, client)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


def test_an_engine_that_stops_is_a_lost_workspace(project, engine, tmp_path):
    """
    A command is interrupted with our error, nothing hangs, and nothing is left when the engine is
    back.
    """
    if not engine.url.startswith("unix://"):
        pytest.skip(f"the engine at {engine.url} has no socket that a test can stand in front of")
    path = tmp_path / "engine.sock"
    forwarder = subprocess.Popen(
        [sys.executable, "-c", FORWARDER, path, engine.url.removeprefix("unix://")]
    )
    try:
        assert until(path.exists, 30)
        run = start(project, "codex_workspace.exec('sleep 300')", f"--codex-engine=unix://{path}")
        assert until((project / "started").exists, 300)
    finally:
        forwarder.kill()
        forwarder.wait()
    output = run.communicate(timeout=60)[0]

    assert run.returncode == 1, output
    assert "WorkspaceLost" in output
    assert "site-packages/docker" not in output
    assert "site-packages/requests" not in output
    assert "site-packages/urllib3" not in output
    assert until(lambda: not objects_of(engine, run.pid, "containers"), 30)
    subprocess.run([sys.executable, "-m", "pytest_codex_workspace.cli", "clean"], check=True)
    assert objects_of(engine, run.pid, "networks") == []


def test_xdist_workers_share_a_refreshed_setup(project):
    """
    With `refresh`, too, a setup image is built once in a run, and the counts are summed up.
    """
    (project / "test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', range(4))\n"
        "def test_it(codex_workspace, n):\n    assert codex_workspace.exec('true').ok\n"
    )
    run = subprocess.run(
        [*PYTEST, "-n2", "--codex-repo=repo", "--codex-image=slim", "--codex-cache=refresh"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert "codex workspaces: cache hit 3, miss 1" in run.stdout


@pytest.mark.promise("S8", "S16")
def test_the_command_runs_the_whole_chain(project):
    """
    S16: One command runs image, proxy, projection, setup, cache and second run. S8: It shows the
    scripts' output.
    """
    command = [sys.executable, "-m", "pytest_codex_workspace.cli", "run", "--image=slim", "repo"]
    cold = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    warm = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    assert (cold.returncode, warm.returncode) == (0, 0), cold.stderr + warm.stderr
    assert "hello from setup" in cold.stdout
    assert "setup ran and is cached now" in cold.stdout
    assert "the cached setup was used" in warm.stdout
    assert "running codex" not in warm.stdout


@pytest.mark.promise("S8", "S16")
def test_the_commands_exit_code_is_the_scripts(tmp_path):
    """
    S8: The command has the script's exit code, and prints its last lines on standard error.
    """
    init_repo(tmp_path / "repo", scripts("echo no good; exit 7\n"))
    command = [sys.executable, "-m", "pytest_codex_workspace.cli", "run", "--image=slim"]
    run = subprocess.run(
        command, cwd=tmp_path / "repo", capture_output=True, text=True, check=False
    )

    assert run.returncode == 7
    assert "SetupError" in run.stderr
    assert "no good" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_hanging_script_is_ended(tmp_path, engine):
    """
    `--codex-setup-timeout` kills a script, and the error has its output so far.
    """
    init_repo(tmp_path / "repo", {"a": "1", **scripts("echo waiting; sleep 600\n")})
    run = start(tmp_path, "pass", "--codex-setup-timeout=2")
    output = run.communicate(timeout=300)[0]

    assert run.returncode == 1
    assert "ran longer than 2 s" in output
    assert "waiting" in output


def test_a_missing_base_image_is_explained(tmp_path):
    """
    The error says what was requested, and what to do.
    """
    init_repo(tmp_path / "repo", {"a": "1"})
    env = {**os.environ, "NO_COLOR": "1"}
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest_codex_workspace.cli",
            "run",
            "--image=localhost:1/no/such:image",
            "repo",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )

    assert run.returncode == 125
    assert "ImageBuildError" in run.stderr
    assert "localhost:1/no/such:image" in run.stderr
    # As this program spells it.
    assert "--image=slim" in run.stderr
    assert "--codex-image" not in run.stderr
    assert "Traceback" not in run.stderr


def test_a_required_cache(project):
    """
    `require` fails on a miss and says how to build the image.
    """
    required = start(project, "pass", "--codex-cache=require").communicate(timeout=300)[0]

    assert "CacheMiss" in required
    assert "--codex-cache=auto" in required


def test_without_a_cache_nothing_is_left(project, engine):
    """
    With `off`, a workspace that ends removes its own layers, but not those of the next one.
    """
    (project / "test_it.py").write_text(
        "def test_1(codex_workspace): pass\n"
        "def test_2(codex_proxy): codex_proxy.wait_for_cleanup()\n"
        "def test_3(codex_workspace): assert codex_workspace.setup.cache == 'off'\n"
    )
    own = {labels.REPO: open_repository(project / "repo", environ=os.environ).identity}
    run = subprocess.run(
        [*PYTEST, "--codex-repo=repo", "--codex-image=slim", "--codex-cache=off"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert engine.images(own) == []
