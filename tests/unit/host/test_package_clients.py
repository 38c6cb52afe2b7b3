"""Tests of asking the package managers of this machine, with small programs in their place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_codex_workspace.host import package_clients
from pytest_codex_workspace.host.package_clients import ask_client


@pytest.fixture
def client(tmp_path):
    """
    Return a function that makes an npm of a script, and returns an environment with it.
    """

    def make(script):
        program = tmp_path / "npm"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin", "NAME": "value"}

    return make


def test_what_it_prints_is_returned(client, tmp_path):
    """
    It gets the words and the environment, and no input; it keeps no log, and breaks no line.
    """
    environ = client('cat; echo "$* $NAME $COLUMNS $npm_config_logs_max $PWD"; echo no >&2')

    found = ask_client("npm", "config", "get", environ=environ, directory=str(tmp_path))

    assert f"config get value 1000 0 {tmp_path}\n" == found


def test_a_client_that_is_missing(client, tmp_path):
    """
    The PATH of the environment counts. A program may also be named by its path.
    """
    assert ask_client("npm", environ={"PATH": str(tmp_path)}) is None
    assert ask_client(sys.executable, "-c", "print(1)", environ={"PATH": "/nowhere"}) == "1\n"


def test_a_client_that_fails(client, monkeypatch):
    """
    Or that does not end.
    """
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        ask_client("npm", environ=client("exit 3"))

    monkeypatch.setattr(package_clients, "_TIMEOUT", 0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        ask_client("npm", environ=client("exec sleep 60"))
