"""Errors: pickling, and text that cannot control a terminal."""

from __future__ import annotations

import pickle

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
