"""Tests of the log of commands."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.secrets.redaction import Redaction
from pytest_codex_workspace.workspace.command_log import CommandLog
from pytest_codex_workspace.workspace.result import ExecResult, timed_out


def test_a_command_that_ended() -> None:
    """
    The log has the command as one line, where it ran, its exit code and its output.
    """
    log = CommandLog()
    with log.record(["echo", "a b"], "/workspace/demo", "nobody") as finished:
        finished(ExecResult([], 3, b"out\n", b"err\n", duration=1.5), "exited")

    (found,) = log
    assert ("echo 'a b'", "/workspace/demo", "nobody") == (found.text, found.cwd, found.user)
    assert ("exited", 3, 1.5) == (found.state, found.exit_code, found.duration)
    assert ("out\n", "err\n") == (found.stdout, found.stderr)


def test_a_result_may_come_later() -> None:
    """
    A command that was started has no result until somebody waits for it.
    """
    log = CommandLog()
    with log.record("serve", "/") as finished:
        pass
    (found,) = log
    assert ("started", None) == (found.state, found.exit_code)
    finished(ExecResult("serve", 0), "exited")
    assert ("exited", 0) == (found.state, found.exit_code)


@pytest.mark.parametrize(
    ("error", "state", "lost"),
    [
        (timed_out(ExecResult("x", 137, b"waiting\n"), 2), "timed out", ""),
        (WorkspaceLost("The container was removed."), "lost", "The container was removed."),
        (FileNotFoundError("no such directory"), "failed", ""),
        (ValueError("the command is empty"), "failed", ""),
    ],
)
def test_a_command_that_did_not_end_by_itself(error: Exception, state: str, lost: str) -> None:
    """
    The error goes on its way, and the log says what happened.
    """
    log = CommandLog()
    with pytest.raises(type(error)), log.record("x", "/"):
        raise error
    (found,) = log
    assert (state, None) == (found.state, found.exit_code)
    assert lost == log.lost
    assert found.stdout == ("waiting\n" if state == "timed out" else "")


def test_memory_is_bounded() -> None:
    """
    The last commands are kept, and of each the end of its output.
    """
    log = CommandLog()
    for number in range(150):
        with log.record(f"echo {number} {'x' * 5000}", "/") as finished:
            finished(ExecResult("", 0, b"a" * 10**6 + b"\nend", b""), "exited")

    records = list(log)
    assert (100, 50) == (len(records), log.omitted)
    assert records[0].text.startswith("echo 50 ")
    assert all(len(one.text) <= 1000 and len(one.stdout) <= 4096 for one in records)
    assert records[-1].stdout.endswith("\nend")


def test_text_is_clean() -> None:
    """
    Neither a secret nor a control sequence is kept, also where the cut would split them.
    """
    log = CommandLog(Redaction(["hunter2222"]).data)
    output = b"hunter2222" * 1000 + b"\x1b]0;title\x07end"
    with log.record("login hunter2222 \x1b[2J", "/") as finished:
        finished(ExecResult("", 0, output, b""), "exited")

    (found,) = log
    assert "login *** " == found.text
    assert set(found.stdout) <= set("*end")
