"""Tests of writing a report."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pytest_codex_workspace.reports.records import TestRecord, append_part
from pytest_codex_workspace.reports.report import FILES, keep_workspace, write_report

from .test_records import request, workspace

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def test_a_report_has_every_file(tmp_path: Path) -> None:
    """
    The page names the hosts and what would allow the blocked ones; the log is copied.
    """
    log = tmp_path / "demo-setup.log"
    log.write_text("hello\n")
    report = tmp_path / "report"
    blocked = request(
        time=5.0, verdict="blocked", reason="host-not-allowed", host="cdn.example", phase="setup"
    )
    for began in (9.0, 30.0):
        keep_workspace(report, workspace(began, setup_requests=(blocked,)), log)
    append_part(report, TestRecord("test_a.py::test_it", "", "failed", 9.0, 1.0, "boom"))

    page = write_report(report)

    assert {*FILES, "logs", "parts"} == {path.name for path in report.iterdir()}
    assert (report / "logs" / "demo-setup.log").read_text() == "hello\n"
    text = page.read_text()
    assert "network: setup:\n  allow: [cdn.example]" in text
    data = json.loads((report / "report.json").read_text())
    assert (data["schema"], len(data["workspaces"])) == (1, 2)
    assert data["tests"][0]["outcome"] == "failed"
    # A setup that two workspaces share counts once.
    shown = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])["requests"]
    assert [each["phase"] for each in shown] == ["setup", "test", "test"]


def test_text_of_a_workspace_is_no_code(tmp_path: Path) -> None:
    """
    Whatever a workspace says, the page has its own scripts only, and loads nothing.
    """
    keep_workspace(
        tmp_path,
        workspace(
            test=NASTY,
            repository=NASTY,
            lost=NASTY,
            commands=({"text": NASTY, "stdout": NASTY},),
            requests=(request(host=NASTY, url=NASTY, explanation=NASTY, verdict="failed"),),
        ),
    )
    text = write_report(tmp_path).read_text()
    assert len(re.findall("<script", text)) == 2
    assert "<img" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "default-src 'none'" in text


def test_an_empty_report_is_a_page(tmp_path: Path) -> None:
    """
    A run without workspaces says so.
    """
    assert "No workspace was used." in write_report(tmp_path / "new").read_text()


def test_a_log_that_is_gone_costs_only_the_log(tmp_path: Path) -> None:
    """
    Logs are pruned after some days.
    """
    keep_workspace(tmp_path, workspace(), tmp_path / "gone.log")
    assert json.loads(write_report(tmp_path).with_name("report.json").read_text())["workspaces"]
