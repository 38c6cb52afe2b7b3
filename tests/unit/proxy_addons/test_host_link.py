"""The messages between the proxy and the host, by the link in a program of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from proxy_addons.host_link import HostLink

link = HostLink(lambda: print("bye", file=sys.stderr, flush=True))
print("for people", flush=True)

async def slow(message):
    await asyncio.sleep(0)
    return {"slow": True}

async def fail(message):
    raise OSError("the port is taken")

def large(message):
    link.emit({"event": "exchange", "cassette": "c", "exchange": "x" * 2_000_000})
    link.emit({"event": "request", "workspace": "w1", "path": b"bytes"})
    return {"text": "x" * 2_000_000}

def once(message):
    link.remove_operation("once")
    link.add_operations({"late": lambda message: {"late": True}})
    link.emit({"event": "request", "id": 1})
    return {"once": True}

async def main():
    link.start({
        "echo": lambda message: {"echo": message["text"]},
        "slow": slow, "fail": fail, "once": once, "large": large, "bug": lambda message: 1 / 0,
    })
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Program:
    """
    The link in a process, with the test as its host.
    """

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        argv = [sys.executable, "-I", "-u", "-c", PROGRAM, str(ROOT)]
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        self.send(json.dumps({"id": 3, "op": op, **fields}).encode())
        return self.receive()

    def end(self) -> str:
        """
        End the input, and return what the program wrote to standard error.
        """
        _, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 0
        return errors.decode()


@pytest.fixture
def program() -> Iterator[Program]:
    """
    A program that ends with its test.
    """
    made = Program()
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate(timeout=20)


def test_operations_are_carried_out(program: Program) -> None:
    """
    Each message has a reply with its number, whether the operation waits or not.
    """
    assert program.ask("echo", text="hi") == {"reply": 3, "echo": "hi"}
    assert program.ask("slow") == {"reply": 3, "slow": True}


def test_messages_that_come_before_the_start_are_kept(program: Program) -> None:
    """
    The host sends its first message before the program has imported anything.
    """
    program.send(b'{"id": 1, "op": "echo", "text": "a"}\n{"id": 2, "op": "echo", "text": "b"}')

    assert [program.receive()["reply"] for _ in range(2)] == [1, 2]


def test_errors_are_replies(program: Program) -> None:
    """
    A failed operation does not end the proxy; a bug is logged as well.
    """
    assert program.ask("fail") == {"reply": 3, "error": "the port is taken"}
    assert program.ask("unknown")["error"] == "'unknown' is not available now"
    assert program.ask("bug") == {"reply": 3, "error": "division by zero"}
    assert "ZeroDivisionError" in program.end()


def test_what_cannot_be_sent_costs_only_whom_it_is_about(program: Program) -> None:
    """
    The host accepts every line, and knows whose report is missing.
    """
    assert program.ask("large") == {"event": "lost", "cassette": "c"}
    assert program.receive() == {"event": "lost", "workspace": "w1"}
    assert program.receive()["error"].startswith("the answer of the proxy cannot be sent: it has 2")
    assert program.end().count("a message to the host is not sent") == 3


def test_operations_come_and_go(program: Program) -> None:
    """
    `configure` is accepted once, the others after it. Events come before the later reply.
    """
    assert program.ask("late")["error"] == "'late' is not available now"
    assert program.ask("once") == {"event": "request", "id": 1}
    assert program.receive() == {"reply": 3, "once": True}
    assert program.ask("once")["error"] == "'once' is not available now"
    assert program.ask("late") == {"reply": 3, "late": True}


def test_invalid_messages_are_ignored(program: Program) -> None:
    """
    They are logged, and the next message is carried out.
    """
    for line in (b"no JSON", b"[]", b'{"id": 1}'):
        program.send(line)

    assert program.ask("echo", text="x") == {"reply": 3, "echo": "x"}
    assert program.end().count("a message from the host is invalid") == 3


def test_only_messages_go_to_standard_output(program: Program) -> None:
    """
    Whatever a library prints goes to standard error, and the end of input ends the program.
    """
    assert program.ask("echo", text="x") == {"reply": 3, "echo": "x"}
    assert program.end().split("\n") == ["for people", "bye", ""]
