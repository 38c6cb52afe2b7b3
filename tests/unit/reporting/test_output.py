"""Tests of the progress shown to users: plain lines, and one rewritten line on a terminal."""

from __future__ import annotations

import io
import re
import threading
import time
from itertools import pairwise

import pytest

from pytest_codex_workspace.engine.protocol import Advance
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.reporting.terminal import TerminalOutput, is_terminal

HALF = Advance(1, 2, "layers", 50)


class Clock:
    """
    A clock that a test moves by hand.
    """

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Terminal(io.StringIO):
    """
    A terminal that knows what its screen shows.
    """

    def isatty(self):
        return True

    @property
    def screen(self):
        rows = [""]
        for piece in re.findall(r"\r|\n|\x1b\[[0-9;]*m|[^\r\n\x1b]+", self.getvalue()):
            if piece == "\n":
                rows.append("")
                column = 0
            elif piece == "\r":
                column = 0
            elif piece[0] != "\x1b":
                column = 0 if rows[-1] == "" else column
                rows[-1] = rows[-1][:column] + piece + rows[-1][column + len(piece) :]
                column += len(piece)
        return [row.rstrip() for row in rows]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal():
    return Terminal()


def until(condition, seconds=10):
    """
    Wait until another thread has made *condition* true.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_step_reports_its_start_and_its_duration(clock):
    """
    A failure is not reported here: whoever handles the exception reports it.
    """
    lines: list[str] = []
    output = Output("progress", lines.append, clock=clock)

    with output.step("making it"):
        assert ["codex: making it ..."] == lines
        clock.advance(2.5)
    with pytest.raises(ValueError, match="no"), output.step("failing"):
        raise ValueError("no")

    assert ["codex: making it ...", "codex: making it: 2.5 s", "codex: failing ..."] == lines


@pytest.mark.parametrize(("progress", "words"), [(None, ""), (HALF, "50 %, 1 of 2 layers, ")])
def test_a_long_step_reports_that_it_is_still_running(clock, progress, words):
    """
    The report has the progress, if that is known, and the time so far.
    """
    lines: list[str] = []

    class Impatient(Output):
        period = 0.001

    with Impatient("progress", lines.append, clock=clock).step("pulling x") as step:
        if progress:
            step.advance(progress)
        clock.advance(10)
        until(lambda: len(lines) > 1)

    assert f"codex: pulling x: {words}10 s so far" == lines[1]


def test_a_step_that_prints_does_not_report_that_it_is_still_running(clock):
    """
    The printed lines show that the step is running. Silence counts from the last of them.
    """
    lines: list[str] = []
    output = Output("progress", lines.append, clock=clock)

    with output.step("running x") as step:
        clock.advance(3)
        output.script("a line")
        clock.advance(3)
        output.ticked(step)
        assert ["codex: running x ...", "  | a line"] == lines
        clock.advance(1)
        output.ticked(step)

    assert "codex: running x: 7 s so far" == lines[2]


def test_nobody_waits_longer_than_five_seconds(clock):
    """
    Not even in a setup of an hour: a program that reads the lines may take silence for a hang.
    """
    times = [0.0]
    output = Output("progress", lambda line: times.append(clock.now - 1000), clock=clock)

    with output.step("running x") as step:
        for _ in range(300):
            clock.advance(1)
            output.ticked(step)

    assert max(later - sooner for sooner, later in pairwise(times)) <= 5


def test_a_step_tells_what_it_does(clock):
    """
    Its part with a progress of its own, which may have to be measured, and its last line.
    """
    lines: list[str] = []
    output = Output("progress", lines.append, clock=clock)

    def gone():
        raise FileNotFoundError

    with output.step("projecting x", announced=False) as step:
        for doing, measure in (
            ("packing", lambda: Advance(12_000_000, 0, "bytes")),
            ("sending", None),
            ("checking out", lambda: Advance(40, 38_402, "files")),
            ("ending", gone),
        ):
            step.begin(doing, measure)
            if not measure:
                step.advance(Advance(12_000_000, 120_000_000, "bytes"))
            clock.advance(5)
            output.ticked(step)
        step.latest = " 45 %\t" + "x" * 500 + " done "
        clock.advance(5)
        output.ticked(step)

    assert [
        "codex: projecting x: packing 12 MB, 5 s so far",
        "codex: projecting x: sending 12 MB of 120 MB, 10 s so far",
        "codex: projecting x: checking out 40 of 38402 files, 15 s so far",
        "codex: projecting x: ending, 20 s so far",
    ] == lines[:4]
    assert lines[4].startswith("codex: projecting x: ending, 25 s so far; last line: 45 % xxx")
    assert lines[4].endswith("xxx done")
    assert len(lines[4]) < 190


def test_of_several_steps_the_last_is_reported(clock):
    """
    It is what the others wait for.
    """
    lines: list[str] = []
    output = Output("progress", lines.append, clock=clock)

    with output.step("outer", announced=False) as outer:
        with output.step("inner", announced=False) as inner:
            clock.advance(5)
            output.ticked(outer)
            output.ticked(inner)
        clock.advance(5)
        output.ticked(outer)

    assert ["codex: inner: 5 s so far", "codex: outer: 10 s so far"] == lines


def test_a_step_that_is_not_announced_is_reported_when_it_takes_long(clock):
    """
    An example is asking a registry for an image that it may not have.
    """
    lines: list[str] = []
    output = Output("progress", lines.append, clock=clock)

    with output.step("asking", announced=False) as step:
        clock.advance(3)
        output.ticked(step)
    assert [] == lines

    with output.step("asking", announced=False) as step:
        clock.advance(10)
        output.ticked(step)
    assert ["codex: asking: 10 s so far"] == lines


def test_quiet_mode_shows_nothing(clock, terminal):
    """
    This holds for plain lines and for a terminal.
    """
    lines: list[str] = []
    for output in (
        Output("quiet", lines.append, clock=clock),
        TerminalOutput("quiet", terminal, clock=clock),
    ):
        with output.step("making it") as step:
            output.note("a")
            output.script("b")
            output.detail("c")
            step.advance(HALF)
            clock.advance(100)
            output.ticked(step)

    assert [] == lines
    assert terminal.getvalue() == ""


def test_a_terminal_shows_a_step_in_one_line_that_is_rewritten(clock, terminal):
    """
    The line is below the others, and a line with the duration replaces it at the end.
    """
    output = TerminalOutput("progress", terminal, environ={}, clock=clock)

    with output.step("pulling x") as step:
        step.advance(HALF)
        assert ["codex: pulling x ...", "codex: pulling x: 50 %, 1 of 2 layers, 0 s"] == (
            terminal.screen
        )
        output.script("a line")
        assert ["codex: pulling x ...", "  | a line", ""] == terminal.screen
        clock.advance(1)
        step.advance(Advance(2, 2, "layers", 100))
        assert "codex: pulling x: 100 %, 2 of 2 layers, 1 s" == terminal.screen[-1]

    assert ["codex: pulling x ...", "  | a line", "codex: pulling x: 1.0 s", ""] == terminal.screen


def test_a_terminal_is_not_redrawn_for_every_message(clock, terminal):
    """
    An engine sends many messages a second.
    """
    output = TerminalOutput("progress", terminal, environ={}, clock=clock)

    with output.step("pulling x") as step:
        step.advance(HALF)
        clock.advance(0.0625)
        step.advance(Advance(2, 2, "layers", 100))
        assert "codex: pulling x: 50 %, 1 of 2 layers, 0 s" == terminal.screen[-1]
        clock.advance(0.0625)
        step.advance(Advance(2, 2, "layers", 100))
        assert "codex: pulling x: 100 %, 2 of 2 layers, 0 s" == terminal.screen[-1]


def test_a_terminal_shows_the_time_of_a_step_without_progress(clock, terminal):
    """
    A thread of the step redraws the line.
    """
    output = TerminalOutput("progress", terminal, environ={}, clock=clock)
    output.period = 0.001

    with output.step("running x"):
        until(lambda: "codex: running x: 0 s" in terminal.getvalue())
        clock.advance(3)
        until(lambda: "codex: running x: 3 s" in terminal.getvalue())


def test_the_line_is_shorter_than_the_terminal_is_wide(monkeypatch, clock, terminal):
    """
    A wrapped line could not be rewritten. The rest of a longer line is erased.
    """
    monkeypatch.setenv("COLUMNS", "20")
    output = TerminalOutput("progress", terminal, environ={"NO_COLOR": "1"}, clock=clock)

    with output.step("pulling something with a name") as step:
        step.advance(HALF)
        assert "codex: pulling some" == terminal.screen[-1]
        monkeypatch.setenv("COLUMNS", "10")
        clock.advance(1)
        step.advance(HALF)
        assert "codex: pu" == terminal.screen[-1]


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_turns_colours_off(terminal, environ, coloured):
    """
    With `NO_COLOR` there is no escape sequence at all.
    """
    with TerminalOutput("progress", terminal, environ=environ).step("x") as step:
        step.advance(HALF)

    assert coloured == ("\x1b" in terminal.getvalue())


def test_a_terminal_shows_the_step_that_began_last(clock, terminal):
    """
    The outer step is shown again when the inner one has ended.
    """
    output = TerminalOutput("progress", terminal, environ={}, clock=clock)

    with output.step("outer") as outer:
        with output.step("inner") as inner:
            inner.advance(HALF)
            clock.advance(1)
            outer.advance(HALF)
            assert terminal.screen[-1].startswith("codex: inner: 50 %")
        clock.advance(1)
        outer.advance(HALF)
        assert terminal.screen[-1].startswith("codex: outer: 50 %")


def test_a_file_and_a_dumb_terminal_are_no_terminals():
    """
    No line can be rewritten there.
    """
    assert is_terminal(Terminal(), {"TERM": "xterm"})
    assert not is_terminal(Terminal(), {"TERM": "dumb"})
    assert not is_terminal(Terminal(), {})
    assert not is_terminal(io.StringIO(), {"TERM": "xterm"})


def test_a_reader_that_is_gone_does_not_end_the_thread_of_a_step():
    """
    The next line that the main thread writes raises the error.
    """
    tried = threading.Event()

    def write(line):
        tried.set()
        raise BrokenPipeError

    output = Output("progress", write, patience=0.001)
    with output.step("x", announced=False):
        assert tried.wait(10)

    with pytest.raises(BrokenPipeError):
        output.note("a")


@pytest.mark.parametrize(
    ("mode", "lines"),
    [
        ("quiet", []),
        ("progress", ["codex: n", "  | s"]),
        ("stream", ["codex: n", "  | s", "  . d"]),
    ],
)
def test_the_mode_chooses_the_lines(mode, lines):
    """
    The output of scripts is shown except in quiet mode.
    """
    shown: list[str] = []
    output = Output(mode, shown.append)
    output.note("n")
    output.script("s")
    output.detail("d")

    assert lines == shown
