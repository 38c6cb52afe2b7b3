"""Tests of the HTTP archive of a report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mitmproxy.io import FlowReader

from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reports.har import har_of, names_of_hars

from ...helpers.published import check_har
from .test_records import request, workspace


def test_mitmproxy_reads_the_archive(tmp_path: Path) -> None:
    """
    Each request is a flow, in order of time, with method, URL, status and body.
    """
    blocked = request(
        time=5.0, verdict="blocked", reason="plain-http", status=403, response_body=b"\xff"
    )
    har = har_of([workspace(), workspace(3.0, requests=(blocked,))], "1.0")
    path = tmp_path / "network.har"
    path.write_text(json.dumps(har))

    with path.open("rb") as file:
        flows = list(FlowReader(file).stream())

    assert [(each.request.method, each.response.status_code) for each in flows] == [
        ("GET", 403),
        ("GET", 200),
    ]
    assert flows[1].request.pretty_url == "https://a.example/x?b=1&c="
    assert flows[1].response.content == b"abc"


def test_an_entry_says_what_was_decided() -> None:
    """
    Verdict, reason, phase and test are in every entry; a look-up is an entry, too.
    """
    lookup = request(
        method="DNS",
        scheme="dns",
        url="dns://a.example",
        path="",
        status=None,
        size=None,
        duration=None,
        verdict="blocked",
        reason="direct-dns",
        explanation="Use the proxy.",
        request_body=None,
        response_body=None,
    )
    (entry,) = har_of([workspace(requests=(lookup,))], "1.0")["log"]["entries"]

    assert entry["comment"] == "blocked (direct-dns): Use the proxy."
    assert (entry["_phase"], entry["_test"]) == ("test", "test_a.py::test_it")
    assert (entry["response"]["status"], entry["request"]["bodySize"]) == (0, -1)
    assert entry["startedDateTime"] == "1970-01-01T00:00:10.000+00:00"


def test_a_shared_setup_is_there_once() -> None:
    """
    Its requests are in the page of the first workspace that stands on it.
    """
    setup = request(time=2.0, phase="setup")
    shared = [workspace(began, setup_requests=(setup,), requests=()) for began in (9.0, 12.0)]
    (entry,) = har_of(shared, "1.0")["log"]["entries"]
    assert (entry["pageref"], entry["_phase"]) == ("workspace-1", "setup")


NOTHING: dict[str, Any] = {"status": None, "size": None, "duration": None, "response_body": None}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**NOTHING, "method": "DNS", "scheme": "dns", "url": "dns://a.example", "path": ""},
        {**NOTHING, "method": "CONNECT", "url": "https://a.example:443", "path": ""},
        {"request_body": None, "response_body": b"\x00\xff", "url": "https://[::1]/?=&a=b&a"},
        {"method": "\x1b", "url": "\u2028 <not a url", "path": "\ud800", "duration": 0.0},
        {"duration": -0.001},
    ],
)
def test_the_archive_is_one(changes: dict[str, Any]) -> None:
    """
    Checked with the published schema, for every kind of request.
    """
    check_har(har_of([workspace(requests=(request(**changes),))], "1.0"))
    check_har(har_of([], "1.0"))


def test_the_schema_refuses_what_is_no_archive() -> None:
    """
    Its parts are found.
    """
    archive = har_of([workspace()], "1.0")
    del archive["log"]["entries"][0]["response"]["content"]
    with pytest.raises(jsonschema.ValidationError, match="content"):
        check_har(archive)


def test_who_asked_is_in_the_entry() -> None:
    """
    Where the log of requests knows it.
    """

    @dataclass(frozen=True)
    class Asked(Request):
        process: str = "npm install"

    one = request()
    asked = Asked(**{name: getattr(one, name) for name in Request.__slots__ if name != "process"})
    (entry,) = har_of([workspace(requests=(asked,))], "1.0")["log"]["entries"]
    assert entry["_process"] == "npm install"


def test_no_time_is_negative() -> None:
    """
    The clock may be set back during a request.
    """
    (entry,) = har_of([workspace(requests=(request(duration=-1.0),))], "1.0")["log"]["entries"]
    assert entry["time"] == entry["timings"]["wait"] == 0


def test_the_archive_of_each_test_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is a plain one, whatever the test is called; a test without requests has none.
    """
    ids = ["a.py::t[../../x]", "a.py::t[..\\..\\x]", "\ud800" * 300, "\x1b/", ""]
    workspaces = [workspace(test=one) for one in (*ids, ids[0])]
    names = names_of_hars([*workspaces, workspace(test="none", requests=())])
    assert list(names) == ids
    assert len(set(names.values())) == len(ids)
    for name in names.values():
        assert re.fullmatch(r"[A-Za-z0-9-]{1,90}\.har", name)
    monkeypatch.setattr("pytest_codex_workspace.reports.har._FILES", 2)
    assert list(names_of_hars(workspaces)) == ids[:2]
