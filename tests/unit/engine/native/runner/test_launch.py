"""What becomes of the first process of a container. That one runs is a matter of tests/contract."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    import os, signal, socket, sys
    from pytest_codex_workspace.engine.native.runner import launch
    from pytest_codex_workspace.engine.native.runner.kernel.cgroups import Cgroup

    def become(self, channel):
        {first}

    def attend(self, first, locks):
        global process
        process = first
        {attends}
        raise OSError(28, "the disk is full")

    launch.unshare = lambda flags: None
    launch.Cgroup = lambda name: Cgroup(name, frozenset(), False)
    launch.Launch._become, launch.Launch._attend = become, attend
    asked = {{"id": "one", "egress": True, "networks": []}}
    try:
        launch.Launch(sys.argv[1], asked, socket.socketpair()[0], [], [], -1)._start()
    except OSError as error:
        print(error)
    print("left" if os.path.exists(f"/proc/{{process}}") else "gone")
"""


@pytest.mark.parametrize(
    ("first", "attends", "said"),
    [
        ("signal.alarm(60); signal.pause()", "pass", "[Errno 28] the disk is full"),
        (
            "channel.sendall(b'its own reason'); os._exit(1)",
            "os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)",
            "[Errno 0] its own reason",
        ),
    ],
    ids=["it waits", "it has ended"],
)
def test_of_a_container_that_cannot_start_nothing_is_left(
    tmp_path: Path, first: str, attends: str, said: str
) -> None:
    """
    Its first process is there before everything else is. What it says itself comes first.
    """
    place = tmp_path / "containers/one"
    place.mkdir(parents=True)
    spec = {"memory": None, "pids": None, "cpus": None, "sysctls": {}}
    (place / "container.json").write_text(json.dumps(spec))
    program = textwrap.dedent(PROGRAM).format(first=first, attends=attends)

    # Of its own, with one thread: the test process has others.
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == (f"{said}\ngone\n", "")
