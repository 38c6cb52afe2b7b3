"""The network of the engine under test, as `near` finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..helpers.near_engine import near

_OWN = Path("/proc/thread-self/ns/net")

# In a network of its own, where then the first thread leaves the others.
_ENGINE = """\
import ctypes, socket, sys, threading

def enter_new_network():
    assert ctypes.CDLL(None).unshare(0x40000000) == 0

enter_new_network()
listening = socket.create_server(sys.argv[1], family=socket.AF_UNIX)
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
enter_new_network()
print(threading.get_native_id(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make and enter a network")
def test_the_network_is_that_of_most_threads(tmp_path: Path) -> None:
    """
    Podman's service leaves its first thread in the network of a container.
    """
    before = _OWN.readlink()
    command = [sys.executable, "-c", _ENGINE, tmp_path / "sock"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        first = engine.stdout.readline().strip()
        threads = Path(f"/proc/{first}/task")
        networks = {one.name: (one / "ns/net").readlink() for one in threads.iterdir()}
        left = networks.pop(first)

        with near(f"unix://{tmp_path}/sock"):
            entered = _OWN.readlink()
        engine.communicate()

    assert {entered} == set(networks.values())
    assert len({entered, left, before}) == 3
    assert before == _OWN.readlink()
