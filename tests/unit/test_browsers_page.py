"""
The page about browsers, with what is on this machine: to install one in a workspace takes minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.cli.main import main

from ..helpers.browser import programs_or_skip, short_directory
from ..helpers.console_blocks import ROOT
from ..helpers.repositories import Repository, host_environment
from ..helpers.story import BROWSERS, steps

SCRIPT = "codex-workspace-scripts/setup-script.sh"


@pytest.fixture
def shop(tmp_path):
    """
    Return the repository of the page.
    """
    repo = Repository(tmp_path / "shop", host_environment(tmp_path / "home"))
    assert list(steps(BROWSERS, repo.path))
    repo.commit({})
    return repo.path


@pytest.mark.needs_git
def test_check_finds_nothing_but_what_the_page_silences(shop, monkeypatch, capsys):
    """
    With each image.
    """
    monkeypatch.chdir(shop)

    for image in ("slim", "universal"):
        assert main(["check", "--reads-only", f"--image={image}"]) == 0
        printed = capsys.readouterr().out
        assert re.findall("^(?:error|warning|note|silenced) +(.*?) ", printed, re.MULTILINE) == [
            "apt-package",
            "apt-package",
        ]


@pytest.mark.needs_git
@pytest.mark.needs_bash
def test_its_script_installs_the_browser_of_this_machine(shop):
    """
    On Debian: packages that `make test` installs.
    """
    text = (shop / SCRIPT).read_text()
    programs = tomllib.loads((ROOT / "tools/programs.toml").read_text())["test"]
    (packages,) = re.findall("apt-get install -y --no-install-recommends (.*)", text)

    assert subprocess.run(["bash", "-n", SCRIPT], cwd=shop, check=False).returncode == 0
    assert packages.split() == [programs["chromium"], programs["chromedriver"]]


@pytest.mark.slow
@pytest.mark.needs_git
@pytest.mark.needs_bash
def test_its_test_passes_with_a_browser(shop):
    """
    The words that it gives to a shell of a workspace are given to one of this machine.
    """
    programs_or_skip()
    namespace = {}
    exec((shop / "codex/test_page.py").read_text(), namespace)

    with short_directory() as short:

        def execute(text, timeout):
            return subprocess.run(
                ["bash", "-c", text],
                env={**os.environ, "HOME": short, "TMPDIR": short},
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )

        namespace["test_a_page"](SimpleNamespace(exec=execute))
