"""The variables of workspaces."""

from __future__ import annotations

from pytest_codex_workspace.codex import defaulted_runtimes, workspace_environment


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
