"""Tests of the files of a report; test_report.py has what a report does with links."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.reports.files import (
    GENERATOR,
    is_foreign,
    read_plain_file,
    replace_file,
)


def test_a_file_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing else is left of an attempt that failed. Others may read it, as the umask says.
    """
    path = tmp_path / "new" / "file"
    replace_file(path, "old \udc80")
    assert path.read_text() == "old ?"
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, "new")
    assert [path] == list(path.parent.iterdir())
    assert path.read_text() == "old ?"


def test_a_file_has_a_limit(tmp_path: Path) -> None:
    """
    Exactly as many bytes are accepted.
    """
    path = tmp_path / "file"
    path.write_bytes(b"x" * (1 << 20))
    assert len(read_plain_file(path, 1 << 20)) == 1 << 20
    with pytest.raises(ValueError, match="larger than 0 MiB"):
        read_plain_file(path, (1 << 20) - 1)


def test_our_page_is_told_from_others(tmp_path: Path) -> None:
    """
    A missing page is nobody's.
    """
    path = tmp_path / "index.html"
    assert not is_foreign(path)
    path.write_text("<h1>mine</h1>")
    assert is_foreign(path)
    path.write_text(f'<meta name="generator" content="{GENERATOR} 1.0">')
    assert not is_foreign(path)
