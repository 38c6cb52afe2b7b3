"""`codex-workspace report`: the page of a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_codex_workspace.cli.main import main

from ..reports.test_schema import report


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """
    A directory with the data of a report.
    """
    (tmp_path / "report.json").write_text(json.dumps(report()))
    return tmp_path


def test_the_page_is_made_and_named(directory, capsys, monkeypatch):
    """
    Its directory is `report` by default. No browser is started.
    """
    monkeypatch.setenv("BROWSER", "false")
    assert 0 == main(["report", str(directory)])
    page = directory / "index.html"
    assert f"report: {page}\n" == capsys.readouterr().out
    assert "test_a.py::test_it" in page.read_text()
    assert 0 == main(["report", str(directory), "--json"])
    assert {"event": "result", "exit_code": 0, "page": str(page)}.items() <= json.loads(
        capsys.readouterr().out
    ).items()


def test_a_browser_is_started_on_request(directory, capsys, monkeypatch, tmp_path):
    """
    If none can be, the error says what to do.
    """
    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{shown}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setattr("webbrowser._tryorder", None)
    assert 0 == main(["report", str(directory), "--open"])
    assert shown.read_text() == f"{(directory / 'index.html').as_uri()}\n"

    monkeypatch.setattr("webbrowser._tryorder", [])
    assert 125 == main(["report", str(directory), "--open"])
    assert "no browser could be started. Open " in capsys.readouterr().err


def test_an_error_names_the_directory(tmp_path, capsys, monkeypatch):
    """
    Its exit code is that of our own failures.
    """
    monkeypatch.chdir(tmp_path)
    assert 125 == main(["report"])
    assert (
        "ReportError: report is not a directory. Give the directory of" in capsys.readouterr().err
    )
