"""What pip and npm use where nothing is configured."""

from __future__ import annotations

import os
import stat

import pytest

from pytest_codex_workspace.checks.default_registries import default_hosts


@pytest.fixture
def npm(tmp_path):
    """
    Return an environment with an npm that prints what it was asked, and its settings.
    """
    program = tmp_path / "npm"
    program.write_text(
        '#!/bin/sh\necho "asked $*" >>"$0.log"\n'
        'echo "https://${npm_config_registry-registry.npm.example}/"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin", "npm_config_registry": "mirror.example"}


def test_settings_do_not_count(npm, tmp_path):
    """
    A mirror that is configured is not what Codex's lists name. Each client is asked once.
    """
    hosts = default_hosts(npm)

    assert hosts("npm") == hosts("npm") == {"registry.npm.example"}
    (asked,) = (tmp_path / "npm.log").read_text().splitlines()
    assert f"--userconfig={os.devnull} --globalconfig={os.devnull}" in asked


def test_a_client_that_is_not_there(tmp_path, monkeypatch):
    """
    Nothing is known then.
    """
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    hosts = default_hosts({"PATH": str(tmp_path)})

    assert None is hosts("npm") is hosts("pip")


@pytest.mark.slow
def test_pip_is_asked(monkeypatch):
    """
    Its index is one host, whatever is configured.
    """
    pytest.importorskip("pip")
    mirror = {**os.environ, "PIP_INDEX_URL": "https://mirror.example/simple"}

    found = default_hosts(mirror)("pip")

    assert found
    assert "mirror.example" not in found
