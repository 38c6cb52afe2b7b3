"""Tests of the environment variables of a workspace."""

from __future__ import annotations

from pytest_codex_workspace.codex import (
    CERTIFICATE,
    RUNTIMES,
    defaulted_runtimes,
    workspace_environment,
)


def test_every_workspace_has_codexs_variables():
    """
    Examples are the proxy, its certificate and the versions of the runtimes.
    """
    env = workspace_environment({})

    assert env["HTTPS_PROXY"] == env["https_proxy"] == "http://proxy:8080"
    assert env["SSL_CERT_FILE"] == CERTIFICATE
    assert {f"CODEX_ENV_{name}_VERSION" for name in RUNTIMES} <= env.keys()


def test_given_variables_take_precedence():
    """
    The other variables keep Codex's values.
    """
    env = workspace_environment({"CODEX_ENV_NODE_VERSION": "22", "MINE": "x"})

    assert ("22", "3.12", "x") == (
        env["CODEX_ENV_NODE_VERSION"],
        env["CODEX_ENV_PYTHON_VERSION"],
        env["MINE"],
    )


def test_a_chosen_runtime_is_not_a_default():
    """
    Only runtimes without a given version may be replaced by another version.
    """
    names = defaulted_runtimes({"CODEX_ENV_NODE_VERSION": "22"}).split()

    assert set(RUNTIMES) - {"NODE"} == set(names)
