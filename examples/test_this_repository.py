"""This repository in a Codex workspace, tested as a user would test theirs."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_the_unit_tests_pass_there(codex_workspace):
    """
    What works on a laptop works in the workspace.
    """
    result = codex_workspace.exec(
        ".venv/bin/python -m pytest -q -p no:cacheprovider tests/unit/options/test_config.py",
        timeout=120,
    )

    assert result.exit_code == 0, result.stdout + result.stderr


def test_only_what_is_committed_is_there(codex_workspace, codex_repo):
    """
    A file that was never added to git is not in the workspace.
    """
    stray = Path(codex_repo.path, "untracked-by-the-example.txt")
    stray.write_text("not committed")
    try:
        listing = codex_workspace.exec(["git", "status", "--porcelain", "--ignored=no"], check=True)
        arrived = codex_workspace.path(stray.name).exists()
    finally:
        stray.unlink()

    assert not arrived
    assert listing.stdout == ""


@pytest.mark.cache_hit
def test_what_setup_made_survives(codex_workspace):
    """
    The virtual environment that setup made is still there in a later workspace.
    """
    assert codex_workspace.setup.cache == "hit"
    assert codex_workspace.path(".venv/bin/pip").exists()
    assert "No broken requirements found" in codex_workspace.setup.output


def test_plain_http_is_refused(codex_workspace):
    """
    A client that does not speak HTTPS gets 403, and the log says why.
    """
    result = codex_workspace.exec("curl -s -o /dev/null -w '%{http_code}' http://example.com/")

    assert result.stdout == "403"
    codex_workspace.network.assert_blocked(reason="plain-http", host="example.com")


def test_a_client_that_ignores_the_proxy_is_found_out(codex_workspace):
    """
    Its look-up is refused at once, and the name is in the log.
    """
    result = codex_workspace.exec("curl -sS --noproxy '*' https://example.com/", timeout=10)

    assert not result.ok
    codex_workspace.network.assert_blocked(reason="direct-dns", host="example.com")
