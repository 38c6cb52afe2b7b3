"""Tests of running commands: splitting output into lines, waiting and killing."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_codex_workspace.errors import ExecError, ExecTimeout
from pytest_codex_workspace.workspace.process import Exit, LineCutter, Lines, Process


class Control:
    """
    A command that has printed *stdout* and *stderr*, and ends with *code* when it is
    killed.
    """

    pid = 7

    def __init__(self, *, code: int = 137, ended: Exit | None = None) -> None:
        self.signals: list[str | int] = []
        self._output = [[b"out\n", b"more\n"], [b"err\n"]]
        self._code = code
        self._end = ended

    def read(self, stream: int, stop=None) -> bytes:
        return self._output[stream].pop(0) if self._output[stream] else b""

    def output(self) -> tuple[bytes, bytes]:
        return b"unread\n", b""

    def poll(self) -> Exit | None:
        return self._end

    def wait(self, deadline: float | None, keep: int, stop=None) -> Exit | None:
        assert self._end or (deadline is not None and deadline < time.monotonic() + 60)
        return self._end

    def kill(self, signal: str | int) -> None:
        self.signals.append(signal)
        if signal == "KILL":
            self._end = Exit(self._code, 0.5, truncated=False, timed_out=False)

    def stop(self, waiting: threading.Event) -> None:
        waiting.set()

    def waits(self) -> str:
        return "cat reads a pipe"


def ended(code: int) -> Exit:
    return Exit(code, 0.5, truncated=False, timed_out=False)


def lines_of(*pieces: bytes) -> Lines:
    left = list(pieces)
    return Lines(lambda stop=None: left.pop(0) if left else b"")


def test_wait_returns_the_output_that_was_not_iterated():
    """
    The other lines were returned by the iterator.
    """
    process = Process(Control(ended=ended(0)), "x", cwd="/", keep=100)
    first = next(process.stdout)

    result = process.wait()

    assert ("out\n", "more\n", "err\n", 0) == (
        first,
        result.stdout,
        result.stderr,
        result.exit_code,
    )
    assert result is process.wait()


def test_wait_keeps_only_the_beginning_of_long_output():
    """
    The result says that the output was cut.
    """
    result = Process(Control(ended=ended(0)), "x", cwd="/", keep=5).wait()

    assert ("out\nm", True) == (result.stdout, result.truncated)


def test_wait_raises_an_error_for_a_failure_with_check():
    """
    Without `check`, the exit code is returned.
    """
    assert 3 == Process(Control(ended=ended(3)), "x", cwd="/", keep=9).wait().exit_code
    with pytest.raises(ExecError, match="exited with 3"):
        Process(Control(ended=ended(3)), "x", cwd="/", keep=9, check=True).wait()


def test_a_command_runs_on_after_the_timeout_of_wait():
    """
    As with `subprocess`: it can be waited for again. The error has the output so far, and is no
    success.
    """
    control = Control()
    process = Process(control, "x", cwd="/", keep=100)
    next(process.stdout)

    with pytest.raises(ExecTimeout, match=r"has not ended within 0\.01 s and runs on") as caught:
        process.wait(0.01)

    assert [] == control.signals
    assert not caught.value.result.ok
    assert ("unread\n", "", 0.01) == (
        caught.value.stdout,
        caught.value.stderr,
        caught.value.timeout,
    )
    control.kill("KILL")
    assert 137 == process.wait().exit_code


@pytest.mark.parametrize(
    ("signal", "sent"), [("TERM", "TERM"), ("sigint", "INT"), (9, 9), ("KILL", "KILL")]
)
def test_a_signal_is_sent_by_name_or_number(signal, sent):
    """
    Names may begin with `SIG`.
    """
    control = Control()
    Process(control, "x", cwd="/", keep=9).kill(signal)

    assert [sent] == control.signals


@pytest.mark.parametrize("signal", ["NOPE", "", 0, 65, -1])
def test_an_unknown_signal_is_an_error(signal):
    """
    Nothing is sent.
    """
    control = Control()
    with pytest.raises(ValueError, match="there is no signal"):
        Process(control, "x", cwd="/", keep=9).kill(signal)

    assert [] == control.signals


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"a\nb\n"], ["a\n", "b\n"]),
        ([b"a", b"b", b"\nc"], ["ab\n", "c"]),
        ([b"\xc3", b"\xa9\n"], ["é\n"]),
        ([b"\n\n"], ["\n", "\n"]),
        ([b"a\r\nb"], ["a\r\n", "b"]),
    ],
)
def test_output_is_split_into_lines(pieces, expected):
    """
    The bytes may arrive in any pieces.
    """
    assert expected == list(lines_of(*pieces))


def test_a_long_line_is_split():
    """
    Memory does not grow with the length of a line.
    """
    pieces = [len(line) for line in lines_of(*[b"x" * 700_000] * 3, b"\n")]

    assert pieces == [1 << 20, 1 << 20, 2_100_001 - (2 << 20)]


def test_the_rest_is_the_output_that_was_not_iterated():
    """
    A partial line is part of the rest.
    """
    lines = lines_of(b"a\nb", b"c\n", b"d")
    next(lines)

    assert lines.rest() == b"bc\nd"
    assert list(lines) == []


def test_lines_are_shown_as_they_come():
    """
    Those of two streams do not mix, long ones are split, and what is hidden is not shown.
    """
    shown = []
    cutter = LineCutter(shown.append, lambda line: line.replace(b"secret", b"***"))
    for stream, piece in ((0, b"a\nb"), (1, b"e"), (0, b"c\n"), (1, b"\nsecret"), (0, b"\xff")):
        cutter.feed(stream, piece)
    assert shown == ["a\n", "bc\n", "e\n"]
    cutter.end()
    assert shown[3:] == ["\ufffd", "***"]
    cutter = LineCutter(lambda line: shown.append(len(line)), bytes)
    cutter.feed(0, b"x" * 2_100_000 + b"\n")
    cutter.end()
    assert shown[5:] == [1 << 20, 1 << 20, 2_100_001 - (2 << 20)]
