"""Keys, environment, output: rooms of one function each."""

from __future__ import annotations

import pickle

import pytest

from pytest_codex_workspace.environment import defaulted_runtimes, workspace_environment
from pytest_codex_workspace.errors import EngineUnavailable, ProxyError, SetupError, WorkspaceLost
from pytest_codex_workspace.keys import key_of
from pytest_codex_workspace.output import Output
from pytest_codex_workspace.printable import printable


def test_keys_follow_content_not_order():
    """
    Equal parts, equal keys; names and values do not run into each other.
    """
    assert key_of({"a": 1, "b": "2"}) == key_of({"b": "2", "a": 1})
    assert key_of({"a": "bc"}) != key_of({"ab": "c"})
    assert key_of({"env": {"A": "1"}}) != key_of({"env": {"A": "2"}})
    assert 24 == len(key_of({}))


def test_named_variables_win():
    """
    And a runtime that was chosen is not a default any more.
    """
    chosen = {"CODEX_ENV_NODE_VERSION": "22", "MINE": "x"}

    env = workspace_environment(chosen)

    assert ("22", "3.12", "x") == (
        env["CODEX_ENV_NODE_VERSION"],
        env["CODEX_ENV_PYTHON_VERSION"],
        env["MINE"],
    )
    assert "NODE" not in defaulted_runtimes(chosen).split()
    assert "PYTHON" in defaulted_runtimes(chosen).split()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b[2Jx\x1b[10;10H", "x"),
        ("a\rb\x08\x9b2J", "ab2J"),
    ],
)
def test_a_workspace_cannot_steer_the_terminal(text, shown):
    """
    Colours stay, the rest goes.
    """
    assert shown == printable(text)


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


def test_a_setup_error_survives_pickling(tmp_path):
    """
    As pytest-xdist needs.
    """
    import pickle

    error = SetupError("words", script="s", exit_code=3, log_path=tmp_path, tail="t")
    again = pickle.loads(pickle.dumps(error))

    assert ("words", "s", 3, tmp_path, "t") == (
        str(again), again.script, again.exit_code, again.log_path, again.tail,
    )  # fmt: skip


def test_the_text_of_an_error_steers_no_terminal():
    """
    It may quote what a workspace printed; colours stay, and it survives pickling.
    """
    for kind in (EngineUnavailable, WorkspaceLost, ProxyError):
        error = kind("a\x1b]0;title\x07\x1b[31mred\x1b[2Jb\rc\udcff")
        again = pickle.loads(pickle.dumps(error))

        assert "a\x1b[31mredbc\ufffd\x1b[0m" == str(error) == str(again)
