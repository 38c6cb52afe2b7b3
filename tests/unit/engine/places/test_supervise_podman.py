"""The program that runs Podman's service; `test_podman_service` has its life."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from pathlib import Path

from pytest_codex_workspace.engine.places import supervise_podman


def run(where: Path, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", supervise_podman.__file__),
            *(str(where / "users"), str(where / "log"), *command),
        ]
    )


def test_the_output_is_kept_up_to_a_limit(tmp_path: Path) -> None:
    """
    What comes after it is read and forgotten, so that the service never waits.
    """
    size = supervise_podman._LOG * 2
    (tmp_path / "users").touch()
    with (tmp_path / "users").open() as user:
        fcntl.flock(user, fcntl.LOCK_SH)
        script = f"import sys; sys.stdout.write('x' * {size})"
        with run(tmp_path, sys.executable, "-S", "-c", script) as program:
            assert 0 == program.wait(20)

    assert supervise_podman._LOG == (tmp_path / "log").stat().st_size


DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    time.sleep(9)
"""


IMPATIENT = """
import runpy, sys
program = runpy.run_path(sys.argv[1])
program["supervise"].__globals__["_PATIENCE"] = 0.05
program["main"](sys.argv[2:])
"""


def test_a_service_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """
    It gets some seconds to end.
    """
    (tmp_path / "users").touch()
    deaf = [sys.executable, "-S", "-c", DEAF]
    words = [supervise_podman.__file__, str(tmp_path / "users"), str(tmp_path / "log"), *deaf]
    with (tmp_path / "users").open() as user:
        fcntl.flock(user, fcntl.LOCK_SH)
        with subprocess.Popen([sys.executable, "-I", "-S", "-c", IMPATIENT, *words]) as program:
            deadline = time.monotonic() + 10
            while not (said := _text(tmp_path / "log")) and time.monotonic() < deadline:
                time.sleep(0.01)
            fcntl.flock(user, fcntl.LOCK_UN)
            assert 0 == program.wait(20)

    assert not Path(f"/proc/{int(said)}").exists()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
