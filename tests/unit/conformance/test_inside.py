"""The program that looks around in a workspace, on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_codex_workspace.conformance import inside


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it reads /proc, as Linux has it")
@pytest.mark.slow
def test_who_holds_the_output_and_who_listens(capsys):
    """
    A process that writes to a pipe that no process of the workspace reads holds the output of the
    script, unless its output leads elsewhere; the port of a server is known.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    code = "import sys, time; print('x', flush=True); time.sleep(60)"
    run = [sys.executable, "-c", code]
    with (
        subprocess.Popen(run, stdout=subprocess.PIPE, pass_fds=[listener.fileno()]) as holder,
        subprocess.Popen([*run, "quiet"], stdout=subprocess.DEVNULL) as quiet,
    ):
        try:
            holder.stdout.readline()
            # This process reads the pipe; a script's agent is left out in the same way.
            seen = json.loads(
                subprocess.run(
                    [sys.executable, "-c", _AS_AGENT, inside.__file__, str(os.getpid())],
                    capture_output=True,
                    check=True,
                ).stdout
            )
        finally:
            holder.kill()
            quiet.kill()
            listener.close()
    found = {one["pid"]: one for one in seen["processes"]}
    assert found[holder.pid]["ports"] == [port]
    assert found[holder.pid]["holds"]
    assert found[holder.pid]["args"] == run
    assert not found[quiet.pid]["holds"]
    assert port not in seen["ports"]


_AS_AGENT = """
import json, os, runpy, sys
names = runpy.run_path(sys.argv[1])
listed, agent = os.listdir, sys.argv[2]
os.listdir = lambda path: [one for one in listed(path) if path != "/proc" or one != agent]
names["MOST_PROCESSES"] = 10**6
names["processes"].__globals__["MOST_PROCESSES"] = 10**6
print(json.dumps(names["processes"]()))
"""


def test_how_files_differ(tmp_path, monkeypatch):
    """
    What is added, removed, changed, and longer at its end; caches and packages do not count.
    """
    tree, noted = tmp_path / "tree", tmp_path / "noted"
    (tree / "node_modules").mkdir(parents=True)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scandir(tree if path == "/" else path))
    monkeypatch.setattr(inside, "SKIPPED_PATHS", frozenset())
    for name in ("same", "gone", "changed", "grown", "node_modules/x", "a.pyc"):
        (tree / name).write_text("1\n")
    (tree / "link").symlink_to("same")
    inside.remember(0.0, str(noted))
    (tree / "gone").unlink()
    (tree / "changed").write_text("2\n")
    (tree / "grown").write_text("1\nand more\n")
    (tree / "new").write_text("1\n")
    (tree / "link").unlink()
    (tree / "link").symlink_to("new")
    for name in ("node_modules/x", "a.pyc"):
        (tree / name).write_text("2\n")

    found = inside.compare(0.0, str(noted))

    assert {Path(path).name: what for what, path in found["changes"]} == {
        "gone": "removed",
        "changed": "changed",
        "grown": "longer",
        "new": "added",
        "link": "changed",
    }
    assert found["more"] == 0


def test_it_is_one_file_for_old_pythons():
    """
    It runs without this package.
    """
    result = subprocess.run(
        [sys.executable, "-I", "-c", Path(inside.__file__).read_text(), "processes"],
        capture_output=True,
        check=True,
    )

    assert set(json.loads(result.stdout)) == {"processes", "ports"}
