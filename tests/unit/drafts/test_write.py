"""Tests of writing a draft beside what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.codex import CONFIG_FILE, RESUME, SETUP
from pytest_codex_workspace.drafts.write import existing, write_draft
from pytest_codex_workspace.errors import ConfigError

FILES = {SETUP: "a\n", RESUME: "b\n", CONFIG_FILE: "c\n"}


def test_what_exists_is_left_as_it_is(tmp_path: Path) -> None:
    """
    A broken link exists, too. Scripts are executable.
    """
    (tmp_path / SETUP).parent.mkdir()
    (tmp_path / SETUP).write_text("mine")
    (tmp_path / CONFIG_FILE).symlink_to("elsewhere")

    assert [SETUP, CONFIG_FILE] == existing(tmp_path, FILES)
    assert [RESUME] == list(write_draft(tmp_path, FILES))

    assert "mine" == (tmp_path / SETUP).read_text()
    assert "b\n" == (tmp_path / RESUME).read_text()
    assert (tmp_path / RESUME).stat().st_mode & 0o100
    assert not (tmp_path / "elsewhere").exists()
    assert [] == list(write_draft(tmp_path, FILES))
    (tmp_path / CONFIG_FILE).unlink()
    (tmp_path / CONFIG_FILE).with_suffix(".yml").touch()
    assert CONFIG_FILE in existing(tmp_path, FILES)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """
    The folder of the scripts may lead anywhere.
    """
    top, outside = tmp_path / "top", tmp_path / "outside"
    top.mkdir()
    outside.mkdir()
    (top / SETUP).parent.symlink_to(outside)

    with pytest.raises(ConfigError, match="is a symbolic link"):
        list(write_draft(top, FILES))
    assert [] == list(outside.iterdir())
