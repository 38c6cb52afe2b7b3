"""Tests of the Compose service that packs the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile

from pytest_codex_workspace.compose import write_directory
from pytest_codex_workspace.projection.compose_main import project

from ...conftest import git
from ..test_compose import parts


def test_the_mounted_files_are_enough(make_repo, tmp_path):
    """
    The program needs only the copied modules and the standard library.
    """
    directory = write_directory(parts(), tmp_path / "made")
    repo = make_repo("demo", mine="1")
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        "from pytest_codex_workspace.projection.compose_main import main; main()"
    )

    subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, directory / "projector", repo, tmp_path],
        env={**os.environ, "HOST_REPO": "/home/me/some repo"},
        check=True,
    )

    facts = json.loads((tmp_path / "projection.json").read_text())
    head = git(repo, "rev-parse", "HEAD")
    assert {"repo": "/home/me/some repo", "name": "some-repo", "head": head} == facts
    with tarfile.open(tmp_path / "projection.tar") as tar:
        assert "codex-projection/plan.json" in tar.getnames()


def test_an_error_is_written_for_the_workspace(tmp_path):
    """
    The error names the repository by its path on the host.
    """
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    project(str(nothing), tmp_path, {**os.environ, "HOST_REPO": "/home/me/x"})

    facts = json.loads((tmp_path / "projection.json").read_text())
    assert facts["error"].startswith("/home/me/x is not in a git repository")
    assert not (tmp_path / "projection.tar").exists()
