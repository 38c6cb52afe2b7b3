"""Pages that are stories run from the first line to the last, as a reader has them."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from ..helpers.console_blocks import matches
from ..helpers.story import STORIES, steps, typed

ENVIRONMENT = {
    "COLUMNS": "120",
    # A reader has no other plugin.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "pytest_codex_workspace.plugin",
    **{f"GIT_{who}_NAME": "Me" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "me@example.com" for who in ("AUTHOR", "COMMITTER")},
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story[0].stem)
def test_a_story_is_true(story, tmp_path):
    """
    Each command prints what the page says, but for times, ids, and where things are.
    """
    directory = tmp_path / "shop"
    directory.mkdir()
    environment = {**os.environ, **ENVIRONMENT}
    if story[0].parent.name == "how-to":
        # Its reader has a repository.
        subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
    for page in story:
        for step in steps(page, directory):
            printed = typed(step, directory, environment)
            if os.geteuid() != 0:
                # The engine without a daemon cannot limit everything then; on the pages, it can.
                printed = re.sub(r"(?m)^codex: this engine cannot limit .*\n", "", printed)

            assert matches(step.shown, printed), f"{step}: $ {step.text}\n{printed}"
