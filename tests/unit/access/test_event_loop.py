"""Tests of the asynchronous calls, on asyncio and trio, with a local agent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import trio

from pytest_codex_workspace.access.event_loop import BlockingNotice, Ending, without_blocking
from pytest_codex_workspace.errors import ExecError, ExecTimeout
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.handle import Workspace

from ...helpers.local_agent import local_channel, local_workspace, until_ended

pytestmark = [
    pytest.mark.needs_bash,
    pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program"),
]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request) -> str:
    """
    Each event loop.
    """
    return request.param


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    """
    A channel to an agent that all tests of this file share.
    """
    with local_channel() as channel:
        yield channel


@pytest.fixture
def ws(channel) -> Workspace:
    return local_workspace(channel, Path("/tmp"))


@pytest.mark.anyio
async def test_commands_run_at_the_same_time(ws, tmp_path):
    """
    The first one ends when the second one has run, and the event loop goes on meanwhile.
    """
    results = {}

    async def run(name: str, command: str) -> None:
        results[name] = await ws.aexec(command, check=True, env={"AT": str(tmp_path)})

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(run, str(number), "until [ -e $AT/go ]; do sleep 0.02; done; echo on")
        await run("last", "touch $AT/go")

    assert len(results) == 51
    assert results["7"].stdout == "on\n"
    assert [one.state for one in ws.commands] == ["exited"] * 51


@pytest.mark.anyio
async def test_errors_are_those_of_exec(ws):
    """
    With the keywords of `exec`.
    """
    with pytest.raises(ExecError, match="exited with 3"):
        await ws.aexec("exit 3", check=True)
    with pytest.raises(ExecTimeout, match="was killed"):
        await ws.aexec(["sleep", "60"], timeout=0.05)
    assert (await ws.aexec(["cat"], input="x")).stdout == "x"


@pytest.mark.anyio
async def test_a_cancelled_command_is_killed(ws, tmp_path):
    """
    With its children. The next one runs.
    """
    pid = tmp_path / "pid"

    async def cancel(scope: anyio.CancelScope) -> None:
        while not pid.exists() or not pid.read_text().strip():
            await anyio.sleep(0.01)
        scope.cancel()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(cancel, scope)
            await ws.aexec(f"sleep 600 & echo $! >{pid}; wait")

    assert scope.cancelled_caught
    await anyio.to_thread.run_sync(until_ended, int(pid.read_text()))
    assert (await ws.aexec(["echo", "on"])).stdout == "on\n"


@pytest.mark.anyio
async def test_lines_come_as_they_are_printed(ws):
    """
    A cancelled wait loses none. The end of the block kills the process.
    """
    async with await ws.astart("echo one; read x; echo $x; exec sleep 600") as process:
        lines = process.stdout
        assert await anext(lines) == "one\n"
        with anyio.move_on_after(0.05) as scope:
            await anext(lines)
        assert scope.cancelled_caught
        await process.asend("two\n")
        assert [line async for line in _first(lines)] == ["two\n"]
        with anyio.move_on_after(0.05) as scope:
            await process.await_()
        assert scope.cancelled_caught
        with pytest.raises(ExecTimeout, match="runs on"):
            await process.await_(timeout=0.05)
        assert process.poll() is None
    assert process.poll() == 137
    assert (await process.await_()).exit_code == 137
    assert [line async for line in lines] == []


async def _first(lines):
    async for line in lines:
        yield line
        return


@pytest.mark.anyio
async def test_a_cancelled_input_does_not_hold_up_the_loop(ws):
    """
    It goes on until the process reads, or has ended.
    """
    async with await ws.astart(["sleep", "600"]) as process:
        with anyio.fail_after(8), anyio.move_on_after(0.05) as scope:
            await process.asend(bytes(8 << 20))
        assert scope.cancelled_caught


@pytest.mark.anyio
async def test_a_result_has_what_was_not_iterated(ws):
    """
    The last line may have no end.
    """
    process = await ws.astart(["sh", "-c", "printf 'a\\nb\\nc'; echo e >&2"])
    assert await anext(process.stdout) == "a\n"
    result = await process.await_()
    assert (result.stdout, result.stderr) == ("b\nc", "e\n")


@pytest.mark.anyio
async def test_a_call_that_blocks_the_loop_is_told_once(ws):
    """
    Of each workspace, and at the line of the test.
    """
    with pytest.warns(RuntimeWarning, match=r"ws\.exec blocks .* `await ws\.aexec") as told:
        ws.exec(["true"])
    assert told[0].filename == __file__
    with warnings.catch_warnings(record=True) as more:
        warnings.simplefilter("always")
        ws.exec(["true"])
        ws.start(["true"]).wait()
        await anyio.to_thread.run_sync(ws.exec, ["true"])
    assert more == []


def test_without_a_loop_nothing_is_told(ws):
    """
    Although both libraries are imported.
    """
    assert {"asyncio", trio.__name__} <= set(sys.modules)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with ws.start(["sleep", "600"]) as process:
            pass
        assert ws.exec(["true"]).ok
    assert process.wait().exit_code == 137
    assert told == []


@pytest.mark.asyncio
async def test_pytest_asyncio_runs_them_too(ws):
    """
    It has an event loop without anyio's plugin, and cancels tasks by itself.
    """
    assert (await ws.aexec("echo on")).stdout == "on\n"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ws.aexec("exec sleep 600"), 0.1)
    [_, cancelled] = ws.commands
    assert cancelled.state == "exited"


def test_an_end_that_was_asked_for_early_comes_with_the_beginning():
    """
    And later ones at once.
    """
    ended = []
    ending = Ending()
    ending.ask()
    ending.begin(lambda: ended.append("begin"))
    ending.ask()

    assert ended == ["begin", "begin"]


@pytest.mark.anyio
async def test_a_shielded_call_is_waited_for():
    """
    Its result is lost, but not its work.
    """
    done = threading.Event()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await without_blocking(done.set, lambda: None, shielded=True)
    assert done.is_set()


def test_without_anyio_the_error_names_the_extra():
    """
    Nothing else needs it: importing a handle does not import it.
    """
    program = """
import sys
sys.modules["anyio"] = None
import asyncio
from pytest_codex_workspace.access.event_loop import without_blocking
import pytest_codex_workspace
pytest_codex_workspace.Workspace
try:
    asyncio.run(without_blocking(lambda: 1, lambda: 2))
except ModuleNotFoundError as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'pytest-codex-workspace[async]'" in shown.stdout, shown.stderr


def test_a_notice_is_given_once():
    """
    Not in a thread without a loop.
    """

    async def run() -> None:
        notice = BlockingNotice()
        with pytest.warns(RuntimeWarning, match="x blocks"):
            notice.check("x", "y")
        notice.check("x", "y")

    BlockingNotice().check("x", "y")
    asyncio.run(run())


def test_a_trio_of_before_0_28_is_asked_too(monkeypatch):
    """
    It has no `in_trio_run`.
    """
    monkeypatch.delattr(trio.lowlevel, "in_trio_run", raising=False)

    async def run() -> None:
        with pytest.warns(RuntimeWarning, match="x blocks"):
            BlockingNotice().check("x", "y")

    BlockingNotice().check("x", "y")
    trio.run(run)
