"""Tests of the script `list_runtimes.sh`, with `/opt/codex` in a directory of the test."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pytest_codex_workspace.host.resources import resource_dir

pytestmark = pytest.mark.needs_bash


@pytest.fixture
def run(tmp_path):
    (tmp_path / "codex").mkdir()
    (tmp_path / "bin").mkdir()
    for program in ("grep", "head", "sort"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program))
    text = (resource_dir("dockerfiles") / "runtimes/list_runtimes.sh").read_text("utf-8")
    text = text.replace("/opt/codex", str(tmp_path / "codex"))

    def run():
        done = subprocess.run(
            [shutil.which("bash"), "-c", text],
            env={"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = done.stdout.splitlines()
        assert "codex-runtime: end - -" == lines[-1]
        return [line.removeprefix("codex-runtime: ") for line in lines[:-1]]

    return run


def test_lists_the_version_of_a_command_on_the_path(run, tmp_path):
    """
    A missing command has no version.
    """
    node = tmp_path / "bin/node"
    node.write_text("#!/bin/sh\necho v20.1.0\n")
    node.chmod(0o755)

    rows = run()

    assert "path node 20.1.0" in rows
    assert "path go " in rows
    assert 9 == len(rows)


def test_lists_the_directories_of_version_managers(run, tmp_path):
    """
    Links are other names of a version and are left out.
    """
    script = tmp_path / "codex/setup_universal.sh"
    script.write_text("echo $CODEX_ENV_GO_VERSION ${CODEX_ENV_NODE_VERSION:-20}")
    (tmp_path / ".nvm/versions/node/v20.1.0").mkdir(parents=True)
    installs = tmp_path / ".local/share/mise/installs/go"
    (installs / "1.24.3").mkdir(parents=True)
    (installs / "latest").symlink_to("1.24.3")
    (tmp_path / ".local/share/swiftly/toolchains/6.1.3").mkdir(parents=True)
    (tmp_path / ".phpenv/versions/8.4snapshot").mkdir(parents=True)

    rows = run()[:-9]

    managed = ["node v20.1.0", "go 1.24.3", "swift 6.1.3", "php 8.4snapshot"]
    assert ["read GO -", "read NODE -", *[f"found {one}" for one in managed]] == rows


def test_lists_the_runtimes_of_slim(run, tmp_path):
    """
    Slim's selection script prints its list.
    """
    (tmp_path / "codex/runtimes.txt").touch()
    script = tmp_path / "codex/setup_universal.sh"
    script.write_text("#!/bin/sh\n[ $1 = --list ] && echo python 3.12.4\n")
    script.chmod(0o755)

    assert ["listed python 3.12.4"] == run()[:-9]
