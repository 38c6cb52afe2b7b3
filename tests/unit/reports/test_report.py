"""Tests of writing a report."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.errors import ReportError
from pytest_codex_workspace.reports.records import PARTS, TestRecord, append_part
from pytest_codex_workspace.reports.report import (
    FILES,
    begin_report,
    keep_workspace,
    read_report,
    rebuild_report,
    write_report,
)

from .test_records import request, workspace


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

    assert {*FILES, "har", "logs", "parts"} == {path.name for path in report.iterdir()}
    (archive,) = (report / "har").iterdir()
    assert archive.name.startswith("test-a-py-test-it-")
    # Without the setup, which other tests share.
    assert len(json.loads(archive.read_text())["log"]["entries"]) == 2
    assert f'"har": "{archive.name}"' in page.read_text()
    assert (report / "logs" / "demo-setup.log").read_text() == "hello\n"
    data = json.loads((report / "report.json").read_text())
    assert (data["schema"], len(data["workspaces"])) == (1, 2)
    assert data["tests"][0]["outcome"] == "failed"
    assert "<h1>Codex workspaces: demo</h1>" in page.read_text()


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


def test_a_page_is_made_again_from_the_data(tmp_path: Path) -> None:
    """
    It is the same page, without what the processes of the run have left; the data stays.
    """
    keep_workspace(tmp_path, workspace())
    append_part(tmp_path, TestRecord("test_a.py::test_it", "", "passed", 9.0, 1.0))
    page = write_report(tmp_path)
    before, data = page.read_text(), (tmp_path / "report.json").read_text()
    page.unlink()
    for part in (tmp_path / PARTS).iterdir():
        part.unlink()

    assert page == rebuild_report(tmp_path)
    assert page.read_text() == before
    assert (tmp_path / "report.json").read_text() == data


def test_fields_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    """
    The format may get new fields without a new number.
    """
    keep_workspace(tmp_path, workspace(commands=({**COMMAND, "new": 1},)))
    append_part(tmp_path, TestRecord("test_a.py::test_it", "", "passed", 9.0, 1.0))
    write_report(tmp_path)
    path = tmp_path / "report.json"
    data = json.loads(path.read_text())
    one = data["workspaces"][0]
    for place in (data, one, one["requests"][0], data["tests"][0]):
        place["later"] = {"any": ["thing"]}
    path.write_text(json.dumps(data))
    assert "test_a.py::test_it" in rebuild_report(tmp_path).read_text()


COMMAND = {
    "text": "ls",
    "cwd": "/",
    "user": "",
    "began": 9.0,
    "state": "exited",
    "exit_code": 0,
    "duration": 0.1,
    "stdout": "",
    "stderr": "",
}


def test_what_a_killed_run_left_is_a_report(tmp_path: Path) -> None:
    """
    Every file is made from it.
    """
    append_part(tmp_path, workspace())
    rebuild_report(tmp_path)
    assert {*FILES, "har", PARTS} == {one.name for one in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "test", "began": "soon"},
        {"kind": "test", "test": ["a"]},
        {"kind": "workspace", "began": None},
        {"kind": "workspace", "commands": [1]},
        {"kind": "begun", "container": {}},
    ],
)
def test_what_a_killed_run_left_may_be_damaged(tmp_path: Path, changes: dict[str, Any]) -> None:
    """
    It may be anybody's artifact; a type that does not fit ends in an error, not in a traceback.
    """
    append_part(tmp_path, workspace())
    [part] = (tmp_path / PARTS).iterdir()
    is_test = changes["kind"] == "test"
    good = asdict(TestRecord("t", "", "passed", 1.0, 1.0)) if is_test else workspace().to_dict()
    part.write_text(part.read_text() + json.dumps({**good, **changes}) + "\n")

    with pytest.raises(ReportError, match=r"cannot be used: a (test|workspace): "):
        rebuild_report(tmp_path)


def _changed(**changes: Any) -> str:
    data = {"schema": 1, "version": "1", "workspaces": [], "tests": []}
    return json.dumps({**data, **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "report.json is damaged: Expecting value"),
        ('{"schema": 1, "versi', "report.json is damaged: Unterminated string"),
        ("\x80", "report.json is damaged"),
        ("[" * 200_000, "report.json is damaged"),
        ("[]", "is not a report: it has no version"),
        ('{"log": {"version": "1.2"}}', "is not a report: it has no version"),
        (_changed(schema=2, version="9.1"), "format 2, written by version 9.1; this version reads"),
        (_changed(schema=0), "has the format 0"),
        (_changed(workspaces={}), "the report: workspaces is {} and not array"),
        (_changed(workspaces=[{}]), r"the report: workspaces\[0\] has no test"),
        (_changed(tests=[{**asdict(TestRecord("t", "", "boiled", 1.0, 1.0))}]), "outcome is 'boil"),
        (_changed(tests=[{**asdict(TestRecord("t", "", "passed", -1.0, 1.0))}]), "began is -1.0"),
        (_changed(tests=[{**asdict(TestRecord("t", "", "passed", 1e20, 1.0))}]), "began is 1e"),
        (_changed(tests=[{**asdict(TestRecord("t", "", "passed", 1.0, -1e300))}]), "duration is -"),
        (_changed(tests=float("nan")), "NaN is not a number"),
        (_changed(version="1").replace('"tests": []', '"tests": [1e999]'), r"tests\[0\] is inf"),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """
    The error says what is wrong with it and what to do; no page is written.
    """
    (tmp_path / "report.json").write_text(text, "latin-1")
    with pytest.raises(ReportError, match=words) as caught:
        rebuild_report(tmp_path)
    assert caught.value.remedy
    assert not (tmp_path / "index.html").exists()


def test_a_value_of_another_type_is_refused_wherever_it_is(tmp_path: Path) -> None:
    """
    Of requests and commands, too: bodies have to be base64.
    """
    path = tmp_path / "report.json"
    for changes in ({"time": "1"}, {"port": True}, {"request_body": "%"}, {"routes": ["1"]}):
        one = workspace().to_dict()
        one["requests"][0] |= changes
        path.write_text(_changed(workspaces=[one]))
        with pytest.raises(ReportError, match=str(path)):
            rebuild_report(tmp_path)


def test_fields_that_the_schema_does_not_require_may_be_missing(tmp_path: Path) -> None:
    """
    Their defaults are used.
    """
    optional = {"setup_requests", "requests", "commands", "omitted", "log", "lost"}
    one = {name: value for name, value in workspace().to_dict().items() if name not in optional}
    (tmp_path / "report.json").write_text(_changed(workspaces=[one]))
    [found], [] = read_report(tmp_path)
    assert (found.requests, found.commands) == ((), ())


def test_a_directory_without_a_report_is_named(tmp_path: Path) -> None:
    """
    So is what to give instead.
    """
    with pytest.raises(ReportError, match=r"has no report.json. Give the directory of"):
        rebuild_report(tmp_path)
    with pytest.raises(ReportError, match="gone is not a directory"):
        rebuild_report(tmp_path / "gone")


def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    """
    A report from elsewhere may have a link, a pipe, which would be waited for, or a directory.
    """
    path = tmp_path / "report.json"
    path.symlink_to("/etc/passwd")
    with pytest.raises(ReportError, match="it is a symbolic link"):
        rebuild_report(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ReportError, match=r"report.json is not a file"):
        rebuild_report(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ReportError, match=r"report.json is not a file"):
        rebuild_report(tmp_path)


def test_what_a_run_left_is_read_from_plain_files(tmp_path: Path) -> None:
    """
    Links could lead to files of the user, and a pipe would be waited for.
    """
    append_part(tmp_path, workspace())
    part = tmp_path / PARTS / "main.jsonl"
    outside = part.rename(tmp_path / "outside.jsonl")
    part.symlink_to(outside)
    with pytest.raises(ReportError, match="symbolic link"):
        rebuild_report(tmp_path)
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(ReportError, match=r"main.jsonl is not a file"):
        rebuild_report(tmp_path)
    part.unlink()
    (tmp_path / PARTS).rmdir()
    (tmp_path / PARTS).symlink_to(tmp_path)
    with pytest.raises(ReportError, match="symbolic link"):
        rebuild_report(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """
    It would take all memory.
    """
    with (tmp_path / "report.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ReportError, match="larger than 512 MiB"):
        rebuild_report(tmp_path)


def test_a_run_begins_without_the_report_of_an_earlier_one(tmp_path: Path) -> None:
    """
    If it is killed, nobody takes that report for its own.
    """
    append_part(tmp_path, workspace())
    write_report(tmp_path)
    begin_report(tmp_path)
    assert {"har", PARTS} == {one.name for one in tmp_path.iterdir()}
    assert [] == [*(tmp_path / PARTS).iterdir(), *(tmp_path / "har").iterdir()]


def test_a_page_of_somebody_else_stays(tmp_path: Path) -> None:
    """
    The directory may be that of a web site.
    """
    page = tmp_path / "index.html"
    page.write_text("<h1>My site</h1>")
    for step in (begin_report, write_report):
        with pytest.raises(ValueError, match="not the page of a report"):
            step(tmp_path)
    (tmp_path / "report.json").write_text(_changed())
    with pytest.raises(ReportError, match="not the page of a report"):
        rebuild_report(tmp_path)
    assert page.read_text() == "<h1>My site</h1>"


def test_nothing_is_written_or_removed_where_a_link_leads(tmp_path: Path) -> None:
    """
    A repository may contain the directory of the report, with links to files of the user.
    """
    outside, report = tmp_path / "outside", tmp_path / "report"
    outside.mkdir()
    report.mkdir()
    for name in ("a.jsonl", "main.jsonl", "log", "page"):
        (outside / name).write_text("mine")
    (report / PARTS).symlink_to(outside)
    for step in (begin_report, lambda directory: append_part(directory, workspace())):
        with pytest.raises(OSError, match="symbolic link"):
            step(report)
    (report / PARTS).unlink()
    (report / PARTS).mkdir()
    (report / PARTS / "main.jsonl").symlink_to(outside / "main.jsonl")
    with pytest.raises(OSError, match="symbolic link"):
        append_part(report, workspace())
    (report / PARTS / "main.jsonl").unlink()
    (report / "logs").symlink_to(outside)
    log = tmp_path / "log"
    log.write_text("new")
    with pytest.raises(OSError, match="symbolic link"):
        keep_workspace(report, workspace(), log)
    (report / "logs").unlink()
    (report / "logs").mkdir()
    (report / "logs" / "log").symlink_to(outside / "other")
    keep_workspace(report, workspace(), log)
    (report / "report.json").symlink_to(outside / "page")
    write_report(report)
    (next((report / "har").iterdir())).unlink()
    (report / "har").rmdir()
    (report / "har").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        write_report(report)
    assert {one.read_text() for one in outside.iterdir()} == {"mine"}
    assert len(list(outside.iterdir())) == 4
