"""Exit codes: a script's own, and ours."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.cli.exit_codes import exit_code_of
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
