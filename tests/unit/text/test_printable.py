"""Tests of removing terminal control sequences."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.cli.printing import show
from pytest_codex_workspace.errors import ConfigError, EngineError, ExecError, WorkspaceLost
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.text.printable import printable, without_colours
from pytest_codex_workspace.workspace.result import ExecResult


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]0;title\x1b\\x", "x"),
        ("\x1b[2Jx\x1b[10;10H", "x"),
        ("a\rb\x08\x9b2J", "ab2J"),
        ("\udcff", "\ufffd"),
    ],
)
def test_control_sequences_are_removed(text, shown):
    """
    Colours are kept, and surrogates are replaced.
    """
    assert shown == printable(text)


def test_colours_can_be_removed_as_well():
    """
    A page and a CI service show text without them.
    """
    assert "red" == without_colours("\x1b[31mred\x1b[0m")


def test_colours_are_reset_at_the_end():
    """
    Otherwise they would apply to the following lines.
    """
    assert "\x1b[31mred\x1b[0m" == printable("\x1b[31mred")


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b2J\x1b[10;10Hx\b\r\udcff"


def _error(kind):
    return lambda: str(kind(f"about {HOSTILE}", remedy=f"do {HOSTILE}"))


def _failure():
    with pytest.raises(ExecError) as caught:
        ExecResult(f"echo {HOSTILE}", 1, HOSTILE.encode("utf-8", "replace"), cwd=HOSTILE).check()
    return str(caught.value)


def _shown(method):
    def write() -> str:
        lines: list[str] = []
        output = Output("stream", lines.append)
        if method == "step":
            with output.step(f"reading {HOSTILE}"):
                pass
        else:
            getattr(output, method)(HOSTILE)
        return "".join(lines)

    return write


DOORS = {
    "notes about a command": lambda: ExecResult(
        HOSTILE, 1, HOSTILE.encode("utf-8", "replace")
    ).describe(HOSTILE),
    "an error of the engine": _error(EngineError),
    "an error of a file": _error(ConfigError),
    "a lost workspace": _error(WorkspaceLost),
    "a failed command": _failure,
    "a result": lambda: repr(ExecResult([HOSTILE], 1, HOSTILE.encode("utf-8", "replace"))),
    "a note": _shown("note"),
    "a line of a script": _shown("script"),
    "a line of a build": _shown("detail"),
    "a step": _shown("step"),
}


@pytest.mark.parametrize("said", DOORS.values(), ids=DOORS)
def test_every_door_to_the_terminal_is_watched(said):
    """
    Workspaces, images, registries, engines and repositories are quoted there.
    """
    assert not set(said()) & set("\x1b\x07\x9b\b\r\udcff")


def test_lines_of_commands_are_watched_too(capsys):
    """
    Lists quote labels of images, for example.
    """
    show(f"name {HOSTILE}")

    assert not set(capsys.readouterr().out) & set("\x1b\x07\x9b\b\r\udcff")
