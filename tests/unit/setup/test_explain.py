"""Tests of what changed since an image was made. `test_shared_cache` has the command."""

from __future__ import annotations

from pathlib import Path

from pytest_codex_workspace.projection.repository import open_repository
from pytest_codex_workspace.setup.explain import changed_scripts

from ...helpers.repositories import Repository, host_environment

SCRIPT = "codex-workspace-scripts/setup-script.sh"


def test_changed_scripts_are_listed(tmp_path: Path) -> None:
    """
    The old tree is named by a label of an image, which somebody else may have made: it is never
    an option of git.
    """
    repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
    repo.commit({SCRIPT: "true"})
    old = repo.git("rev-parse", "HEAD:codex-workspace-scripts")
    repo.commit({SCRIPT: "false"})
    snapshot = open_repository(repo.path, environ=repo.env)

    assert changed_scripts(snapshot, old) == ["M\tsetup-script.sh"]
    assert changed_scripts(snapshot, f"--output={tmp_path / 'made'}") == []
    assert not (tmp_path / "made").exists()
