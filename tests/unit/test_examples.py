"""The projects of examples/ that need no engine, and what docs/extending.md shows of all."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.plugin.hooks import specs

from ..conftest import init_repo
from ..helpers.distributions import install_examples

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
SHOWN = re.findall(r"^<!-- (\S+) -->\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("path", "text"), SHOWN)
def test_the_page_shows_what_is_in_the_files(path, text):
    """
    Word for word.
    """
    assert text in (ROOT / path).read_text("utf-8")


def test_the_page_shows_nothing_else():
    """
    Each block of code names its file.
    """
    assert PAGE.count("\n```") == 2 * len(SHOWN)


def test_the_page_lists_each_hook():
    """
    With its arguments.
    """
    for name, function in vars(specs).items():
        if name.startswith("pytest_codex_"):
            arguments = ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
            assert f"| `{name}({arguments})` |" in PAGE


def test_the_plugin_of_the_example_may_miss_the_start_of_a_workspace(tmp_path):
    """
    A hook of another plugin has failed, which is no second error.
    """
    example = runpy.run_path(str(ROOT / "examples/workspace-metrics/workspace_metrics.py"))
    metrics = example["_Metrics"](tmp_path / "metrics.jsonl")
    workspace = SimpleNamespace(id="c", head="a", commands=[])

    metrics.pytest_codex_request_judged(SimpleNamespace(verdict="blocked"), workspace)
    metrics.pytest_codex_workspace_stopped(workspace, SimpleNamespace(nodeid="test_it"))

    assert '"requests": {"blocked": 1}' in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.needs_git
@pytest.mark.slow
def test_the_check_of_the_example(tmp_path):
    """
    Installed by pip, it finds an image without a version, and doctor lists it. A stage of the file
    and a digest are no moving images.
    """
    site = install_examples(tmp_path / "site", "pinned-images-check", "recording-engine")
    lines = ("scratch", "debian:12 AS b", "--platform=x debian AS a", "a", "debian@sha256:0", "b")
    files = {"Dockerfile": "".join(f"FROM {line}\n" for line in lines)}
    repo = init_repo(tmp_path / "shop", files)
    env = {**os.environ, "PYTHONPATH": str(site), "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_codex_workspace.cli", *words, str(repo)],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    printed = command("check", "--reads-only")
    assert "acme.pinned-image  Dockerfile:3: the image debian is another one tomorrow" in printed
    assert printed.endswith("1 finding: 0 errors, 1 warning, 0 notes\n")
    assert (
        "engine recording of recording-engine 1.0, check acme.pinned-image of pinned-images-check "
        "1.0"
    ) in command("doctor")
