"""Tests of running commands: splitting output into lines, waiting and killing."""

from __future__ import annotations

import time

import pytest

from pytest_codex_workspace.errors import ExecError, ExecTimeout
from pytest_codex_workspace.workspace.process import Exit, Lines, Process


class Control:
    """
    A command that has printed *stdout* and *stderr*, and ends with *code* when it is
    killed; without *code* the end of a killed command is never reported.
    """

    pid = 7

    def __init__(self, *, code: int | None = 137, ended: Exit | None = None) -> None:
        self.signals: list[str | int] = []
        self._output = [[b"out\n", b"more\n"], [b"err\n"]]
        self._code = code
        self._end = ended

    def read(self, stream: int) -> bytes:
        return self._output[stream].pop(0) if self._output[stream] else b""

    def poll(self) -> Exit | None:
        return self._end

    def wait(self, deadline: float | None, keep: int) -> Exit | None:
        assert self._end or (deadline is not None and deadline < time.monotonic() + 60)
        return self._end

    def kill(self, signal: str | int) -> None:
        self.signals.append(signal)
        if signal == "KILL" and self._code is not None:
            self._end = Exit(self._code, 0.5, truncated=False, timed_out=False)

    def waits(self) -> str:
        return "cat reads a pipe"

    def abandon(self) -> Exit:
        self._end = Exit(137, 0.0, truncated=False, timed_out=True)
        return self._end


def ended(code: int) -> Exit:
    return Exit(code, 0.5, truncated=False, timed_out=False)


def lines_of(*pieces: bytes) -> Lines:
    left = list(pieces)
    return Lines(lambda: left.pop(0) if left else b"")


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


@pytest.mark.parametrize("code", [137, None])
def test_a_command_is_killed_after_the_timeout(code):
    """
    The error has the output. A command whose end is not reported is abandoned.
    """
    control = Control(code=code)

    with pytest.raises(ExecTimeout, match=r"timeout of 0\.01 s and was killed") as caught:
        Process(control, "x", cwd="/", keep=100).wait(0.01)

    assert ["KILL"] == control.signals
    assert ("out\nmore\n", "err\n", 0.01) == (
        caught.value.stdout,
        caught.value.stderr,
        caught.value.timeout,
    )


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
