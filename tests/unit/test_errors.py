"""Errors: pickling, and text that cannot control a terminal."""

from __future__ import annotations

import pickle

import pytest

from pytest_codex_workspace.config import ConfigError
from pytest_codex_workspace.errors import (
    CodexWorkspaceError,
    EngineUnavailable,
    ProxyError,
    SetupError,
    WorkspaceLost,
)


def test_a_setup_error_survives_pickling(tmp_path):
    """
    As pytest-xdist needs.
    """
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


def test_a_config_error_is_one_of_ours_and_a_value_error():
    """
    An invalid option can be caught as any error of this package, or as the builtin error.
    """
    error = ConfigError("--codex-image=\x1b[2Jx: must be a name")

    assert isinstance(error, CodexWorkspaceError)
    assert isinstance(error, ValueError)
    assert "--codex-image=x: must be a name" == str(error)


def test_the_remedy_is_a_field_and_part_of_the_text():
    """
    Message and remedy survive pickling apart from each other.
    """
    again = pickle.loads(pickle.dumps(EngineUnavailable("no answer", remedy="Start it.")))

    assert ("no answer", "Start it.") == (again.message, again.remedy)
    assert "no answer. Start it." == str(again)


@pytest.mark.parametrize(
    ("message", "remedy", "text"),
    [
        ("a is missing", "Add it.", "a is missing. Add it."),
        ("Did you add a?", "Add it.", "Did you add a? Add it."),
        ("tried:\n  a", "Add it.", "tried:\n  a\nAdd it."),
        ("a is missing", "", "a is missing"),
        ("a", "b\x1b[2J", "a. b"),
    ],
)
def test_the_text_joins_message_and_remedy(message, remedy, text):
    """
    A message of several lines is followed by a line with the remedy.
    """
    assert text == str(CodexWorkspaceError(message, remedy=remedy))
