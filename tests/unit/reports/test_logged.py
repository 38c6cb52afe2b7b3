"""Tests of reading the requests of earlier runs."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.errors import ReportError
from pytest_codex_workspace.network.problems import problems_of
from pytest_codex_workspace.reporting.events import event_line, facts_of
from pytest_codex_workspace.reports.logged import RequestLog, read_log
from pytest_codex_workspace.reports.records import TestRecord, append_part
from pytest_codex_workspace.reports.report import write_report

from .test_records import request, workspace

BLOCKED = request(verdict="blocked", reason="plain-http", explanation="why: because")


def read(path: Path | None, data: bytes = b"") -> RequestLog:
    return read_log(path, io.BytesIO(data))


def facts(log: RequestLog) -> list[tuple[Any, ...]]:
    names = ("phase", "method", "scheme", "host", "port", "status", "verdict", "reason")
    return [tuple(getattr(one.request, name) for name in names) for one in log.requests]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """
    Return the directory of a report of two workspaces that share a setup.
    """
    setup = request(time=1.0, phase="setup")
    for number in (1.0, 2.0):
        more = {"setup_requests": (setup,), "requests": (replace(BLOCKED, time=number),)}
        append_part(tmp_path, workspace(number, test=f"test_a.py::test_{number:.0f}", **more))
    write_report(tmp_path)
    return tmp_path


def test_every_form_of_a_report_has_the_same_requests(report: Path) -> None:
    """
    Its directory, its files, and what a killed run leaves.
    """
    whole = read(report)
    owners = [one.owner for one in whole.requests]
    assert owners == ["", "test_a.py::test_1", "test_a.py::test_2"]
    assert whole.is_whole
    assert whole.requests[1].request.explanation == "why: because"

    assert facts(read(report / "network.har")) == facts(whole)
    for one in (report / "report.json", None):
        data = (report / "report.json").read_bytes() if one is None else b""
        assert read(one, data) == whole
    (report / "report.json").unlink()
    assert read(report) == whole
    [part] = (report / "parts").iterdir()
    part.write_bytes(part.read_bytes()[:-9])
    assert len(read(report).requests) == 2


def test_a_process_of_a_killed_run_may_have_no_workspace(report: Path) -> None:
    """
    Under pytest-xdist, the controller notes the test that ended a worker.
    """
    (report / "report.json").unlink()
    append_part(report, TestRecord("test_a.py::test_3", "gw7", "failed", began=1.0, duration=1.0))

    assert len(read(report).requests) == 3


@pytest.mark.parametrize("name", ["report.json", "parts/main.jsonl"])
def test_a_report_is_read_from_files(report: Path, name: str) -> None:
    """
    A pipe would be waited for, and a link may lead anywhere.
    """
    for one in [report / "report.json", *(report / "parts").iterdir()]:
        one.unlink()
    target = report / name
    os.mkfifo(target)
    with pytest.raises(ReportError, match="is not a file"):
        read(report)
    target.unlink()
    target.symlink_to("/etc/hostname")
    with pytest.raises(ReportError, match="it is a symbolic link"):
        read(report)


@pytest.mark.parametrize("count", [-5, 10**4000, "x", True])
def test_a_number_of_problems_is_one(count: Any) -> None:
    """
    One that cannot be printed, or takes requests away, counts as one.
    """
    problem = {**problems_of([BLOCKED])[0].to_dict(), "scheme": "http", "count": count}
    line = json.dumps({"event": "result", "problems": [problem]})

    assert [one.count for one in read(None, line.encode()).requests] == [1]


def test_events_have_the_requests() -> None:
    """
    What comes after the last whole line of a killed run is passed over.
    """
    lines = [event_line("note", text="x"), event_line("request", **facts_of(BLOCKED)), '{"eve']
    log = read(None, "\n".join(lines).encode())

    assert (facts(log), log.is_whole) == ([facts_of_blocked()], True)
    assert log.requests[0].request.path == BLOCKED.path


def facts_of_blocked() -> tuple[Any, ...]:
    one = BLOCKED
    return (
        *("test", one.method, one.scheme, one.host, one.port),
        one.status,
        "blocked",
        one.reason,
    )


def test_events_with_nothing_but_problems_are_told_apart() -> None:
    """
    The requests that were allowed are not known then.
    """
    problems = [one.to_dict() for one in problems_of([BLOCKED, replace(BLOCKED, time=3.0)])]
    log = read(None, event_line("error", type="SetupError", problems=problems).encode())

    assert [(one.count, one.request.reason) for one in log.requests] == [(2, "plain-http")]
    assert not log.is_whole
    assert read(None, event_line("result", problems=[]).encode()) == RequestLog([])
    known = event_line("request", **facts_of(BLOCKED))
    assert not read(
        None, f"{known}\n{event_line('result', problems=[], omitted=3)}".encode()
    ).is_whole


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"allow: [example.org]", "line 1: this is not JSON"),
        (b'{"event": "note"}\nnoise\n{"event": "note"}', "line 2: this is not JSON"),
        (b'{"event": "note"}', "has nothing about requests"),
        (b'{"a": 1}', "line 1: this is not a report"),
        (b"[1]", "a request is not an object"),
        (b"7", "line 1: this is not a report"),
        (b"[" * 100_000, "this is not JSON"),
        (b"\xff\xfe", "this is not JSON"),
        (b'{"schema": 9, "workspaces": []}', "has the format 9"),
        (b'{"schema": 1, "workspaces": 3}', "is damaged: the report has no version"),
        (b'{"kind": "workspace", "test": ""}', "line 1: not the record of a workspace"),
        (b'{"log": {"entries": [{"request": {}, "response": {}}]}}', "not one of ours"),
        (b'{"log": {"entries": [null]}}', "not one of ours"),
        (b'[{"url": "https://[x", "verdict": "allowed"}]', "is damaged"),
        (b'[{"verdict": "allowed"}]', "is damaged"),
        (b'{"event": "request", "url": "https://a/", "method": 1}', "line 1: a request in it is"),
        (b'{"event": "error", "problems": 5}', "problems is missing or not a list"),
    ],
)
def test_what_is_not_a_log_is_an_error(data: bytes, words: str, tmp_path: Path) -> None:
    """
    The text says where, and what to give.
    """
    file = tmp_path / "log"
    file.write_bytes(data)
    for path in (None, file):
        with pytest.raises(ReportError, match=words) as caught:
            read(path, data)
        assert str(caught.value).startswith("standard input" if path is None else str(file))


@pytest.mark.parametrize("field", ["method", "url", "verdict", "explanation", "port", "reason"])
@pytest.mark.parametrize("value", [[], {}, True, 1e999])
def test_a_damaged_request_is_an_error(field: str, value: Any) -> None:
    """
    Whatever is in the place of a value.
    """
    data = json.dumps([{**facts_of(BLOCKED), "phase": "test", field: value}])

    with pytest.raises(ReportError, match="is damaged"):
        read(None, data.encode())


def test_a_directory_without_a_report_is_an_error(tmp_path: Path) -> None:
    """
    So is a path that leads nowhere.
    """
    with pytest.raises(ReportError, match=r"has no report\.json"):
        read(tmp_path)
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        read(tmp_path / "nowhere")


def test_a_huge_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It would be in memory as a whole.
    """
    monkeypatch.setattr("pytest_codex_workspace.reports.logged._SIZE_LIMIT", 10)
    with pytest.raises(ReportError, match="larger than the limit"):
        read(None, b'{"event": "note"}')
