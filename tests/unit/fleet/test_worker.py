"""Tests of a repository's check in a process of its own, with small programs in its place."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from pytest_codex_workspace.fleet.worker import COMMAND, Worker

pytestmark = pytest.mark.slow  # Each starts an interpreter.

EVENTS = """
import json, sys
print(json.dumps({"event": "note", "text": sys.argv[1]}))
print("no event")
print("[1]")
print(json.dumps({"event": "runs", "setup_seconds": 1}))
print(json.dumps({"event": "finding", "id": "docker"}))
print(json.dumps({"event": "repository", "repo": sys.stdin.read()}))
print(json.dumps({"event": "result"}))
print("a message \\x1b[2J", file=sys.stderr)
"""


def worker(program, *words, limit=60.0, **options):
    return Worker(words, limit=limit, command=(sys.executable, "-c", program), **options)


def test_events_are_taken_apart():
    """
    Progress is told, what is no event is left out, and messages cannot control a terminal.
    """
    told = []

    ended = worker(EVENTS, "hello", standard_input=b"the input").run(told.append)

    assert [{"event": "note", "text": "hello"}] == told
    assert [{"event": "finding", "id": "docker"}] == ended.findings
    assert {"event": "runs", "setup_seconds": 1} == ended.runs
    assert {"event": "repository", "repo": "the input"} == ended.repository
    assert ended.messages.startswith("a message")
    assert "\x1b" not in ended.messages
    assert "" == ended.failure


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        ("import sys; sys.exit(7)", "its process ended with exit code 7 and without a result"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "its process ended by the signal SIGKILL and without a result",
        ),
        ('print(\'{"event": "error", "message": "no such option"}\')', "no such option"),
    ],
)
def test_a_process_without_a_result(program, failure):
    """
    The failure says how it ended.
    """
    ended = worker(program).run(lambda _: None)

    assert (ended.repository, ended.failure) == (None, failure)


def test_a_process_that_does_not_end():
    """
    It is asked to end, and what it printed before is no result.
    """
    program = 'print(\'{"event": "repository"}\', flush=True); import time; time.sleep(300)'

    ended = worker(program, limit=0.2).run(lambda _: None)

    assert (ended.repository, ended.failure) == (None, "its check did not end within 0 s")


def test_a_process_is_ended_from_outside():
    """
    It may clean up.
    """
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        'print(\'{"event": "note"}\', flush=True)\n'
        "time.sleep(300)\n"
    )
    made = worker(program)

    ended = made.run(lambda _: made.end())

    assert "exit code 5" in ended.failure
    threads = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    assert all(one.daemon for one in threads)


def test_the_command_is_that_of_this_interpreter():
    """
    Whatever is on the PATH.
    """
    assert COMMAND[0] == sys.executable
    assert signal.SIGTERM != os.getpid()
