"""The program that runs Podman's service; `test_podman_service` has its life."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_codex_workspace.engine.places import supervise_podman

if TYPE_CHECKING:
    import pytest


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


def test_a_service_that_ignores_the_signal_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It gets some seconds to end.
    """
    monkeypatch.setattr(supervise_podman, "_PATIENCE", 0.05)
    monkeypatch.setattr(supervise_podman.os, "_exit", lambda _: None)
    (tmp_path / "users").touch()
    command = [sys.executable, "-S", "-c", DEAF]
    with (
        (tmp_path / "users").open() as users,
        (tmp_path / "users").open() as user,
        (tmp_path / "log").open("wb", buffering=0) as log,
    ):
        fcntl.flock(user, fcntl.LOCK_SH)
        running = threading.Thread(
            target=supervise_podman.supervise, args=(users.fileno(), log, command)
        )
        running.start()
        deadline = time.monotonic() + 10
        while not (words := (tmp_path / "log").read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        fcntl.flock(user, fcntl.LOCK_UN)
        running.join(10)

    assert not running.is_alive()
    assert not Path(f"/proc/{int(words)}").exists()
