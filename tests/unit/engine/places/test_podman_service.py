"""Podman's service, started where no socket answers; a program in its place that listens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.places import podman_service
from pytest_codex_workspace.errors import EngineUnavailable

PODMAN = f"""#!{sys.executable} -S
import os, socket, sys, time
print("podman", *sys.argv[1:], flush=True)
print("remote" if "CONTAINER_HOST" in os.environ else "local", flush=True)
if os.environ.get("BROKEN"):
    sys.exit("Error: no storage")
with open(os.environ["HOME"] + "/pids", "a") as pids:
    print(os.getpid(), file=pids)
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[-1].removeprefix("unix://"))
listening.listen()
while True:
    listening.accept()
"""

HOLDER = """
import os, sys
from pytest_codex_workspace.engine.places import podman_service
podman_service.start_podman(os.environ)
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """
    The environment of a user who has podman.
    """
    program = tmp_path / "podman"
    program.write_text(PODMAN)
    program.chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "CONTAINER_HOST": "ssh://far",
    }


def pids(environ: dict[str, str]) -> list[int]:
    return [int(one) for one in Path(environ["HOME"], "pids").read_text().split()]


def becomes_true(condition: Callable[[], bool]) -> bool:
    """
    Return whether a condition is met within some seconds.
    """
    deadline = time.monotonic() + 10
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def gone(pid: int) -> bool:
    """
    Return whether a process ends within some seconds.
    """

    def ended() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state == "Z"

    return becomes_true(ended)


def written(log: Path, words: str) -> bool:
    """
    Return whether a log has these words within some seconds: it is written beside the service.
    """
    return becomes_true(lambda: log.read_text() == words)


def test_the_service_has_a_directory_of_its_own_and_ends_with_its_user(
    environ: dict[str, str],
) -> None:
    """
    No other user can connect, and podman serves this machine whatever the variables name.
    """
    service = podman_service.start_podman(environ)
    folder = service.log.parent
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(service.url.removeprefix("unix://"))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert written(service.log, f"podman system service --time=0 {service.url}\nlocal\n")
    finally:
        service.close()

    (pid,) = pids(environ)
    assert gone(pid)
    service.close()


def test_processes_share_the_service_until_the_last_is_killed(environ: dict[str, str]) -> None:
    """
    The kernel gives the share of a killed process back.
    """
    first = podman_service.start_podman(environ)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env={**os.environ, **environ, "PATH": environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert b"started\n" == holder.stdout.readline()
        first.close()
        second = podman_service.start_podman(environ)
        second.close()
        (pid,) = pids(environ)
        assert not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")

        holder.send_signal(signal.SIGKILL)

        assert gone(pid)


def test_a_service_is_started_again_after_it_has_ended(environ: dict[str, str]) -> None:
    """
    A socket that was left behind is no obstacle.
    """
    podman_service.start_podman(environ).close()
    assert gone(pids(environ)[0])

    podman_service.start_podman(environ).close()

    assert 2 == len(pids(environ))
    assert gone(pids(environ)[1])


def test_what_podman_says_is_in_the_error(environ: dict[str, str]) -> None:
    """
    With the file that has all of it.
    """
    with pytest.raises(EngineUnavailable) as caught:
        podman_service.start_podman({**environ, "BROKEN": "1"})

    assert "Error: no storage (all of it is in" in str(caught.value)


def test_a_directory_of_somebody_else_is_not_used(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whoever owns it could put another socket there.
    """
    monkeypatch.setattr(podman_service.os, "getuid", lambda: 4711)
    Path("/tmp/codex-workspace-podman-4711").unlink(missing_ok=True)
    target = Path(environ["HOME"], "elsewhere")
    target.mkdir()
    Path(environ["HOME"], "codex-workspace").symlink_to(target)
    Path("/tmp/codex-workspace-podman-4711").symlink_to(target)
    try:
        with pytest.raises(EngineUnavailable, match="XDG_RUNTIME_DIR"):
            podman_service.start_podman(environ)
    finally:
        Path("/tmp/codex-workspace-podman-4711").unlink()


def test_podman_is_started_on_linux_only(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Elsewhere it is a client of a virtual machine.
    """
    assert podman_service.can_start_podman(environ)
    assert not podman_service.can_start_podman({"PATH": "/nowhere"})
    monkeypatch.setattr(podman_service.sys, "platform", "darwin")
    assert not podman_service.can_start_podman(environ)
