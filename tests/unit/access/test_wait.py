"""Tests of waiting for ports, files and output."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator

import pytest

from pytest_codex_workspace.access.wait import wait_until
from pytest_codex_workspace.errors import WaitError
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.handle import Workspace

from ...helpers.local_agent import local_channel, local_workspace

linux = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    with local_channel() as channel:
        yield channel


@pytest.fixture
def ws(channel, tmp_path) -> Workspace:
    return local_workspace(channel, tmp_path)


def test_what_holds_is_not_waited_for():
    """
    Although it cannot come any more.
    """
    wait_until(lambda: "", 1, lambda: "it has ended")


def test_what_comes_later_is_waited_for():
    """
    It is looked at until it is there.
    """
    looks = iter(["nothing", "nothing", ""])
    wait_until(lambda: next(looks), 30, lambda: "")
    assert list(looks) == []


@pytest.mark.parametrize(
    ("never", "why"), [("", "nothing, after 0.01 s"), ("it has ended", "nothing, and it has ended")]
)
def test_the_error_says_what_is_missing(never, why):
    """
    And whether the time has passed.
    """
    with pytest.raises(WaitError, match=f"^{why}$"):
        wait_until(lambda: "nothing", 0.01, lambda: never)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_wait_has_a_bound(timeout):
    """
    There is none without.
    """
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        wait_until(lambda: "", timeout, lambda: "")


@linux
def test_a_workspace_is_waited_for(ws):
    """
    A port, a path and output, which is not taken.
    """
    process = ws.start(["sh", "-c", "echo begin; echo 'ready: 7' >&2; touch there; exec sleep 600"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ws.wait_for(port=port, path="there", output="begin")
    ws.wait_for(output=re.compile(r"ready: \d"), process=process)
    assert (next(process.stdout), next(process.stderr)) == ("begin\n", "ready: 7\n")
    process.kill()


@linux
def test_the_reason_has_the_end_of_the_output(ws):
    """
    Of the process that is waited for, or else of the last one.
    """
    process = ws.start(["sh", "-c", "echo no luck; exit 3"])
    with pytest.raises(WaitError) as caught:
        ws.wait_for(output="ready", process=process)
    assert str(caught.value).startswith(
        "no output has 'ready', and the process has ended with exit code 3\n"
    )
    assert "| no luck" in str(caught.value)
    with pytest.raises(WaitError, match=r"(?s)/none does not exist, after 0.05 s.*no luck"):
        ws.wait_for(path="none", timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(WaitError, match=f"nothing listens on port {port}, after"):
        ws.wait_for(port=port, timeout=0.05)
    with pytest.raises(TypeError, match="give port=, path= or output="):
        ws.wait_for()
    assert process.wait().stdout == "no luck\n"
    ws.wait_for(output="luck", process=process)
