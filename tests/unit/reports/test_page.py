"""Tests of the page of a report; test_page_in_browser.py has what a reader does with it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from pytest_codex_workspace.reports import page
from pytest_codex_workspace.reports.page import render_page
from pytest_codex_workspace.reports.records import TestRecord

from .test_records import request, workspace
from .test_report import COMMAND

BLOCKED = {
    "verdict": "blocked",
    "reason": "host-not-allowed",
    "explanation": "It is not among the hosts allowed.",
}


def data_of(text: str) -> dict[str, Any]:
    """
    Return what the script of the page reads.
    """
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found
    return dict(json.loads(found[1]))


def test_the_page_runs_its_own_script_only() -> None:
    """
    The policy names the digests of the script and the style in it, and allows nothing else.
    """
    text = render_page([workspace()], [], "1.0")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    digests = [
        base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        for tag in ("style", "script")
        for found in re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    ]
    assert len(digests) == 2
    assert policy[1] == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"""(src|href)=["']?(https?:)?//|url\(|@import| style=""", text)


def test_a_shared_setup_is_there_once() -> None:
    """
    With what would allow each request, and all of them together.
    """
    setup = request(time=5.0, phase="setup", host="cdn.example", **BLOCKED)
    text = render_page(
        [workspace(began, setup_requests=(setup,)) for began in (9.0, 30.0)], [], "1"
    )
    found = data_of(text)
    assert [one["phase"] for one in found["requests"]] == ["setup", "test", "test"]
    assert [one["workspace"] for one in found["requests"]] == [-1, 0, 1]
    rule = "network:\n  setup:\n    allow: [cdn.example]"
    assert found["requests"][0]["rule"] == rule
    assert rule in text
    assert found["hosts"] == [["cdn.example", 1, 0, 1], ["a.example", 0, 2, 0]]


def test_a_test_has_its_attempts_and_workspaces() -> None:
    """
    The last attempt counts. A test that was killed has a workspace and no outcome.
    """
    tests = [
        TestRecord("t", "", "failed", 9.0, 2.0, "boom"),
        TestRecord("t", "", "passed", 12.0, 2.0),
    ]
    found = data_of(
        render_page(
            [
                workspace(9.0, test="t", requests=(request(**BLOCKED),)),
                workspace(12.0, test="t", cache="miss"),
                workspace(15.0, test="killed", lost="gone"),
                workspace(16.0, test="codex-workspace run", lost="it failed", container=""),
            ],
            tests,
            "1",
        )
    )
    first, second, third = found["tests"]
    assert (first["outcome"], first["cache"], first["problems"]) == ("passed", "hit, miss", 1)
    assert [one["outcome"] for one in first["attempts"]] == ["failed", "passed"]
    assert (second["id"], second["outcome"]) == ("killed", "lost")
    assert third["outcome"] == "failed"
    outcomes = [one["outcome"] for one in found["workspaces"]]
    assert outcomes == ["failed", "passed", "lost", "failed"]


@pytest.mark.parametrize("limit", [3, 1000])
def test_the_page_has_a_bound(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """
    The problems come first, and the reader is told. Output of commands that failed comes first.
    """
    monkeypatch.setattr(page, "_REQUESTS", limit)
    monkeypatch.setattr(page, "_OUTPUT", limit)
    many = [request(id=at, time=10.0 + at) for at in range(9)]
    many.append(request(id=9, time=30.0, host="late.example", **BLOCKED))
    commands = ({**COMMAND, "stdout": "1234"}, {**COMMAND, "exit_code": 1, "stderr": "why"})
    text = render_page([workspace(requests=tuple(many), commands=commands)], [], "1")
    found = data_of(text)
    shown = found["requests"]
    assert len(shown) == min(limit, 10)
    assert shown[-1]["host"] == "late.example"
    assert ("7 requests are only in report.json" in text) == (limit == 3)
    first, second = found["workspaces"][0]["commands"]
    assert (first["stdout"] == "") == first.get("cut", False) == (limit == 3)
    assert second["stderr"] == "why"


def test_hidden_text_is_made_visible() -> None:
    """
    Colours are left out, the direction of text is not changed, and a very long text is cut.
    """
    command = {
        **COMMAND,
        "text": "a\u202eb",
        "stdout": "\x1b[31mred\x1b[0m\x1b]0;x\x07",
        "cwd": "c" * 30_000,
    }
    (found,) = data_of(render_page([workspace(commands=(command,))], [], "1"))["workspaces"]
    (shown,) = found["commands"]
    assert (shown["text"], shown["stdout"]) == ("a\\u202eb", "red")
    assert len(shown["cwd"]) == 20_003


def test_nothing_ran() -> None:
    """
    An empty report is a page that says so.
    """
    text = render_page([], [], "1.0")
    assert "No workspace was used." in text
    assert data_of(text)["requests"] == []
