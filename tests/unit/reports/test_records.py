"""Tests of the records of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reports.records import (
    PARTS,
    TestRecord,
    WorkspaceRecord,
    append_begun,
    append_part,
    read_parts,
)


def request(**changes: Any) -> Request:
    """
    Return a request with bodies.
    """
    values: dict[str, Any] = {
        "id": 1,
        "time": 10.0,
        "phase": "test",
        "method": "GET",
        "scheme": "https",
        "host": "a.example",
        "port": 443,
        "path": "/x?b=1&c=",
        "url": "https://a.example/x?b=1&c=",
        "status": 200,
        "size": 3,
        "duration": 0.5,
        "verdict": "allowed",
        "routes": (1,),
        "process": "sh › curl",
        "request_body": b"\xff\x00",
        "response_body": b"abc",
    }
    return Request(**{**values, **changes})


def workspace(began: float = 9.0, **changes: Any) -> WorkspaceRecord:
    """
    Return the record of a workspace.
    """
    values: dict[str, Any] = {
        "test": "test_a.py::test_it",
        "worker": "",
        "repository": "demo",
        "head": "a" * 40,
        "image": "slim",
        "container": "c" * 64,
        "cache": "hit",
        "key": "k",
        "began": began,
        "ended": began + 2,
        "requests": (request(),),
    }
    return WorkspaceRecord(**{**values, **changes})


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """
    Bodies, requests and commands come back, oldest workspace first, of every process.
    """
    late = workspace(20.0, worker="gw1", commands=({"text": "ls"},))
    outcome = TestRecord("test_a.py::test_it", "gw1", "failed", 20.0, 1.5, "boom")
    early = workspace(worker="gw0")
    for record in (late, outcome, early):
        append_part(tmp_path, record)

    assert read_parts(tmp_path) == ([early, late], [outcome])
    assert {path.stem for path in (tmp_path / PARTS).iterdir()} == {"gw0", "gw1"}


def test_what_a_killed_process_left_is_read(tmp_path: Path) -> None:
    """
    Half a line is passed over, and so is what is no record.
    """
    append_part(tmp_path, workspace())
    with (tmp_path / PARTS / "main.jsonl").open("ab") as file:
        file.write(b'[]\n{"kind": "later"}\n{"kind": "workspace", "te')
    assert read_parts(tmp_path) == ([workspace()], [])


def test_nothing_is_a_report(tmp_path: Path) -> None:
    """
    A run without workspaces has no parts.
    """
    assert read_parts(tmp_path) == ([], [])


@pytest.mark.parametrize("data", [{}, {"requests": [1], "setup_requests": []}])
def test_other_data_is_refused(data: dict[str, Any]) -> None:
    """
    The error says that it is no record.
    """
    with pytest.raises(ValueError, match="not the record of a workspace"):
        WorkspaceRecord.from_dict(data)


def test_a_workspace_whose_process_was_killed_is_lost(tmp_path: Path) -> None:
    """
    It has begun, and nobody has seen its end. One that has ended is there once.
    """
    killed, ended = workspace(container="k"), workspace(20.0, container="e", worker="gw1")
    for one in (killed, ended):
        append_begun(tmp_path, one)
    append_part(tmp_path, ended)

    first, second = read_parts(tmp_path)[0]

    assert second == ended
    assert first.container == "k"
    assert "ended before the workspace did" in first.lost


@pytest.mark.parametrize("data", [{}, 1, {"test": "t"}])
def test_other_data_is_no_test(data: Any) -> None:
    """
    The error says that it is no record.
    """
    with pytest.raises(ValueError, match="not the record of a test"):
        TestRecord.from_dict(data)
