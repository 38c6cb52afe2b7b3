"""Tests of the host's end of a holder's program, with a scripted stream in place of a container."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from typing import Any

import pytest

from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.network import holder as holder_module
from pytest_codex_workspace.network.holder import Drain, HolderProgram

Answer = Callable[[dict[str, Any]], list[tuple[int, bytes]]]


class Script:
    """
    A stream that answers each message by calling a function.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._output: queue.Queue[tuple[int, bytes]] = queue.Queue()

    def send(self, data: bytes) -> None:
        for each in self._answer(json.loads(data)):
            self._output.put(each)

    def receive(self) -> tuple[int, bytes]:
        return self._output.get()

    def close(self) -> None:
        self._output.put((0, b""))


def program(answer: Answer) -> HolderProgram:
    return HolderProgram(Script(answer))


def says(**fields: Any) -> Answer:
    return lambda _: [(1, json.dumps(fields).encode() + b"\n")]


def test_a_namespace_is_isolated_and_drained() -> None:
    """
    Each question has its own answer.
    """
    asked: list[dict[str, Any]] = []

    def answer(message: dict[str, Any]) -> list[tuple[int, bytes]]:
        asked.append(message)
        if "proxy" in message:
            return [(2, b"a warning\n"), (1, b'{"ready": true, '), (1, b'"address": "x"}\n')]
        return [(1, b'{"drained": false, "sentinels": 1, "why": "2 sockets are open"}\n')]

    made = program(answer)
    made.isolate("172.30.0.2")

    assert made.drain(2.0) == Drain(done=False, sentinels=1, why="2 sockets are open")
    assert asked[1] == {"drain": {"seconds": 2.0, "port": 8080, "dns_port": 53}}
    made.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(error="no NET_ADMIN"), "could not remove its routes: no NET_ADMIN"),
        (lambda _: [(2, b"Traceback\n"), (0, b"")], "ended before it was ready: Traceback"),
        (lambda _: [(1, b"nonsense\n")], "sent Expecting value"),
    ],
)
def test_a_holder_that_fails_is_an_error(answer: Answer, error: str) -> None:
    """
    The error has its answer, or its last words.
    """
    with pytest.raises(EngineError, match=error):
        program(answer).isolate("172.30.0.2")


@pytest.mark.parametrize("fields", [{"error": "unknown"}, {"drained": True}, {"sentinels": "1"}])
def test_an_answer_that_makes_no_sense_is_no_drain(fields: dict[str, Any]) -> None:
    """
    A namespace of which nothing is known is not lent again.
    """
    with pytest.raises(EngineError, match="could not be drained"):
        program(says(**fields)).drain(0.0)


def test_a_silent_holder_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its late answer must not be taken for that to the next question.
    """
    monkeypatch.setattr(holder_module, "_ANSWER_SECONDS", 0.01)
    made = program(lambda _: [])

    with pytest.raises(EngineError, match=r"did not answer within 0\.01 s"):
        made.drain(0.0)
    with pytest.raises(EngineError, match="ended while it was in use"):
        made.drain(0.0)
