"""Exit codes: a script's own, and ours."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from pytest_codex_workspace.cli.exit_codes import BROKEN_PIPE, EXIT_CODES, FAILED, exit_code_of
from pytest_codex_workspace.codex import RESUME, SELECT_RUNTIMES, SETUP
from pytest_codex_workspace.errors import ConfigError, EngineUnavailable, SetupError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SetupError("it failed", script=SETUP, exit_code=7), 7),
        (SetupError("it failed", script=RESUME, exit_code=2), 2),
        (SetupError("it took too long", script=SETUP), 125),
        (SetupError("there is none", script=SETUP), 125),
        (SetupError("no such version", script=SELECT_RUNTIMES, exit_code=1), 125),
        (ConfigError("no"), 125),
        (EngineUnavailable("no"), 125),
        (OSError("disk full"), 125),
        (ZeroDivisionError(), 125),
    ],
)
def test_only_scripts_choose_their_code(error, code):
    """
    Everything that is not the end of a script is our own failure.
    """
    assert code == exit_code_of(error)


def test_the_documents_have_each_code():
    """
    docs/command.md has a row for each of ours, and no other number.
    """
    page = (Path(__file__).parents[3] / "docs" / "command.md").read_text()
    ended = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    rows = [
        {int(one) for one in re.findall(r"\d+", row)}
        for row in re.findall(r"^\| ([0-9, ]+) \|", page, re.MULTILINE)
    ]

    assert [{0}, {1}, {FAILED}, ended, {BROKEN_PIPE}] == rows
    assert all(str(code) in EXIT_CODES for code in (FAILED, 130, 143))
