"""What people see while long steps run: lines, and on a terminal one that is rewritten."""

from __future__ import annotations

import io
import re
import time

import pytest

from pytest_codex_workspace.engine.progress import Advance
from pytest_codex_workspace.output import Output
from pytest_codex_workspace.progressline import TerminalOutput, is_terminal

HALF = Advance(1, 2, "layers", 50)


class Terminal(io.StringIO):
    """
    A terminal, and what is on its screen once everything is written.
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


def until(condition, seconds=10):
    """
    Wait for what another thread does.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_step_begins_and_ends():
    """
    With the time it took; what fails is told by whoever sees the error.
    """
    lines: list[str] = []
    output = Output("progress", lines.append)

    with output.step("making it"):
        assert ["codex: making it ..."] == lines
    with pytest.raises(ValueError, match="no"), output.step("failing"):
        raise ValueError("no")

    assert re.fullmatch(r"codex: making it: 0\.\d s", lines[1])
    assert ["codex: failing ..."] == lines[2:]


@pytest.mark.parametrize(("come", "words"), [(None, ""), (HALF, "50 %, 1 of 2 layers, ")])
def test_a_step_that_takes_long_says_so(come, words):
    """
    With how far it has come, if that is known.
    """
    lines: list[str] = []
    output = Output("progress", lines.append, patience=0.01)

    with output.step("pulling x") as step:
        if come:
            step.advance(come)
        until(lambda: len(lines) > 2)

    assert f"codex: pulling x: {words}0 s so far" in lines


def test_a_step_that_prints_does_not_say_that_it_runs():
    """
    Whoever sees lines come knows.
    """
    lines: list[str] = []
    looks: list[object] = []

    class Watched(Output):
        period = 0.001

        def _ticked(self, step):
            super()._ticked(step)
            looks.append(step)

    with Watched("progress", lines.append, patience=0.5).step("running x") as step:
        until(lambda: len(looks) > 3)

    assert step is looks[0]
    assert not [line for line in lines if "so far" in line]


def test_the_words_become_rarer():
    """
    A setup of an hour is not a page of them.
    """
    lines: list[str] = []
    output = Output("progress", lines.append)
    with output.step("running x") as step:
        now = time.monotonic()
        step.started = now - 40
        output._said = now - 15
        output._ticked(step)
        assert len(lines) == 1
        output._said = now - 21
        output._ticked(step)
        output._ticked(step)

    assert ["codex: running x: 40 s so far"] == lines[1:-1]


def test_a_step_that_is_not_announced_appears_when_it_takes_long():
    """
    Such as asking a registry for what it may not have.
    """
    lines: list[str] = []
    with Output("progress", lines.append).step("asking", announced=False):
        pass
    assert [] == lines

    output = Output("progress", lines.append, patience=0.01)
    with output.step("asking", announced=False):
        until(lambda: lines)

    assert "codex: asking: 0 s so far" in lines


def test_quiet_is_quiet():
    """
    In either form.
    """
    lines: list[str] = []
    terminal = Terminal()
    for output in (Output("quiet", lines.append), TerminalOutput("quiet", terminal)):
        with output.step("making it") as step:
            output.note("a")
            output.script("b")
            output.detail("c")
            step.advance(HALF)

    assert [] == lines
    assert terminal.getvalue() == ""


def test_a_terminal_has_one_line_that_is_rewritten():
    """
    Below what stays, and gone at the end.
    """
    terminal = Terminal()
    output = TerminalOutput("progress", terminal, environ={})
    with output.step("pulling x") as step:
        step.advance(HALF)
        assert ["codex: pulling x ...", "codex: pulling x: 50 %, 1 of 2 layers, 0 s"] == (
            terminal.screen
        )
        output.script("a line")
        assert ["codex: pulling x ...", "  | a line", ""] == terminal.screen
        output._drawn = 0.0
        step.advance(Advance(2, 2, "layers", 100))
        assert "codex: pulling x: 100 %, 2 of 2 layers, 0 s" == terminal.screen[-1]

    first, line, last, nothing = terminal.screen
    assert ("codex: pulling x ...", "  | a line", "") == (first, line, nothing)
    assert re.fullmatch(r"codex: pulling x: 0\.\d s", last)


def test_a_terminal_shows_the_time():
    """
    Where nothing else is known of a step.
    """
    terminal = Terminal()
    output = TerminalOutput("progress", terminal, environ={})
    output.period = 0.01
    with output.step("running x"):
        until(lambda: "codex: running x: 0 s" in terminal.getvalue())


def test_a_line_is_no_longer_than_the_terminal(monkeypatch):
    """
    One that wraps could not be rewritten; what is left of a longer one is wiped out.
    """
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    output = TerminalOutput("progress", terminal, environ={"NO_COLOR": "1"})
    with output.step("pulling something with a name") as step:
        step.advance(HALF)
        assert "codex: pulling some" == terminal.screen[-1]
        monkeypatch.setenv("COLUMNS", "10")
        output._drawn = 0.0
        step.advance(HALF)
        assert "codex: pu" == terminal.screen[-1]


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color(environ, coloured):
    """
    No escape sequence at all, then.
    """
    terminal = Terminal()
    with TerminalOutput("progress", terminal, environ=environ).step("x") as step:
        step.advance(HALF)

    assert coloured == ("\x1b" in terminal.getvalue())


def test_what_began_last_is_shown():
    """
    Of two steps at a time, and the other one when it has ended.
    """
    terminal = Terminal()
    output = TerminalOutput("progress", terminal, environ={})
    with output.step("outer") as outer:
        with output.step("inner") as inner:
            inner.advance(HALF)
            output._drawn = 0.0
            outer.advance(HALF)
            assert terminal.screen[-1].startswith("codex: inner: 50 %")
        output._drawn = 0.0
        outer.advance(HALF)
        assert terminal.screen[-1].startswith("codex: outer: 50 %")


def test_what_is_a_terminal():
    """
    A file is none, and on a dumb one nothing can be rewritten.
    """
    assert is_terminal(Terminal(), {"TERM": "xterm"})
    assert not is_terminal(Terminal(), {"TERM": "dumb"})
    assert not is_terminal(Terminal(), {})
    assert not is_terminal(io.StringIO(), {"TERM": "xterm"})


def test_whoever_reads_may_go():
    """
    A step's thread says nothing about it; the next line does.
    """

    def write(line):
        raise BrokenPipeError

    output = Output("progress", write, patience=0.01)
    looked: list[object] = []
    output._moved = looked.append
    with output.step("x", announced=False):
        until(lambda: output._said)

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
def test_each_mode_shows_its_part(mode, lines):
    """
    Scripts' output is shown unless everything is quiet.
    """
    shown = []
    output = Output(mode, shown.append)
    output.note("n")
    output.script("s")
    output.detail("d")

    assert lines == shown
