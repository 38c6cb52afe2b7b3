"""Tests of collecting a report."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from pytest_codex_workspace.errors import SetupError
from pytest_codex_workspace.reports.collector import Collector, collecting
from pytest_codex_workspace.workspace.command_log import CommandLog

from .test_records import request
from .test_section import ran, workspace


def test_a_report_is_written_also_after_an_error(tmp_path: Path) -> None:
    """
    It has the workspaces until then, and what an earlier run collected is gone.
    """
    log = CommandLog()
    ran(log, "make", 2, err="no rule\n")
    directory, said = tmp_path / "report", list[str]()
    for command in ("earlier", "make"):
        with suppress(KeyError), collecting(directory, "slim", said.append) as collector:
            assert collector is not None
            collector.workspace(workspace(log, lambda: [request()]), command)
            raise KeyError

    data = json.loads((directory / "report.json").read_text())
    (found,) = data["workspaces"]
    assert (found["test"], found["image"], found["repository"]) == ("make", "slim", "demo")
    assert found["commands"][0]["stderr"] == "no rule\n"
    assert len(found["requests"]) == 1
    assert said == [f"report: {directory / 'index.html'}"] * 2


def test_a_setup_that_failed_is_a_workspace_of_the_report(tmp_path: Path) -> None:
    """
    It has the error, the end of the output and the requests.
    """
    blocked = request(verdict="blocked", reason="plain-http")
    passed = request(time=9.0)
    error = SetupError("it failed", script="s", tail="why\n", requests=[blocked], passed=[passed])
    with collecting(tmp_path, "slim", print) as collector:
        assert collector is not None
        collector.failed_setup("demo", "a" * 40, "run", error)
    (found,) = json.loads((tmp_path / "report.json").read_text())["workspaces"]
    assert found["lost"] == "it failed\nwhy\n"
    assert [each["reason"] for each in found["setup_requests"]] == [None, "plain-http"]


def test_no_directory_is_no_report() -> None:
    """
    Without the option nothing is collected.
    """
    with collecting(None, "slim", print) as collector:
        assert collector is None


def test_a_report_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    """
    The run goes on.
    """
    (tmp_path / "file").write_text("")
    said: list[str] = []
    collector = Collector(tmp_path / "file" / "report", "slim", said.append)
    for _ in range(2):
        collector.test("test_a.py::test_it", "passed", 1.0, 2.0, "")
    collector.write()
    assert len(said) == 1
    assert "the report in" in said[0]
