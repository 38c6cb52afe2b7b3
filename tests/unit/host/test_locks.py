"""Tests of machine-wide locks."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.host.locks import machine_lock

HOLD = """
import pathlib, sys
from pytest_codex_workspace.host.locks import machine_lock
with machine_lock(pathlib.Path(sys.argv[1]), "the image", print):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path, directory=None):
    """
    Start a process in *directory* that holds the lock until its input ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert "held\n" == process.stdout.readline()
    return process


def end(process):
    process.communicate()


def test_a_free_lock_is_acquired_silently(tmp_path):
    """
    Its directory is created.
    """
    path = tmp_path / "cache/images.lock"
    lines = []

    for _ in range(2):
        with machine_lock(path, "building", lines.append):
            assert path.exists()

    assert [] == lines


def test_a_waiting_process_reports_the_holder(tmp_path):
    """
    The holder is named by its process id and its directory, without its arguments.
    """
    path = tmp_path / "images.lock"
    (tmp_path / "shop").mkdir()
    process = hold(path, tmp_path / "shop")
    lines = []

    def report(line):
        lines.append(line)
        threading.Thread(target=end, args=(process,)).start()

    with machine_lock(path, "building the image", report):
        pass

    (line,) = lines
    assert line.startswith(f"waiting for process {process.pid} (")
    assert f", in {tmp_path / 'shop'})" in line
    assert line.endswith(f"to finish building the image (lock {path})")
    assert str(path) not in line.partition("to finish")[0]


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    """
    The system releases the lock.
    """
    path = tmp_path / "images.lock"
    process = hold(path)
    process.kill()
    end(process)
    lines = []

    with machine_lock(path, "building", lines.append):
        pass

    assert [] == lines


def test_a_lock_that_cannot_be_created_is_an_error(tmp_path):
    """
    The error names the path and says what to do.
    """
    (tmp_path / "file").touch()
    path = tmp_path / "file/images.lock"

    with (
        pytest.raises(EngineError, match=r"images\.lock.*XDG_CACHE_HOME"),
        machine_lock(path, "building", print),
    ):
        pass


def test_a_lock_that_is_never_released_is_an_error(tmp_path, monkeypatch):
    """
    A process that is stopped, for example, keeps its locks. The error names it.
    """
    monkeypatch.setattr("pytest_codex_workspace.host.locks._REPORT", 0.01)
    monkeypatch.setattr("pytest_codex_workspace.host.locks._LONGEST", 0.03)
    path = tmp_path / "images.lock"
    process = hold(path)
    lines: list[str] = []
    words = rf"process {process.pid} .* has not finished building after .*images\.lock"

    try:
        with pytest.raises(EngineError, match=words), machine_lock(path, "building", lines.append):
            pass
    finally:
        end(process)

    assert [line.split(" (")[0] for line in lines[1:]] == [
        f"still waiting for process {process.pid}"
    ] * 2


def test_locks_are_logged(tmp_path, caplog):
    """
    The file, what it is for, how long it was waited for and held.
    """
    path = tmp_path / "images.lock"
    process = hold(path)

    def report(_):
        threading.Thread(target=end, args=(process,)).start()

    with caplog.at_level("DEBUG"), machine_lock(path, "building", report):
        pass

    ours = [one.getMessage() for one in caplog.records if one.name.startswith("pytest_codex")]
    waiting, acquired, released = ours
    assert f"waiting for the lock {path} for building" == waiting
    assert acquired.startswith(f"lock {path} for building: acquired after ")
    assert released.startswith(f"lock {path} for building: released after ")
