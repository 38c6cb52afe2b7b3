"""Tests of the progress written for programs: one JSON object on each line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.protocol import Advance
from pytest_codex_workspace.network.rules.policy import REASONS, VERDICTS
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reporting.events import EventOutput, event_line, facts_of

from ...helpers.ci import commands
from ...helpers.events import read_events, schema


class Written(list):
    """
    The lines that were written, and the events in them.
    """

    @property
    def events(self):
        return read_events(self)

    @property
    def kinds(self):
        return [one["event"] for one in self.events]


SETUP = {
    "repository": "r",
    "key": "k",
    "image": "i",
    "commit": "c",
    "created": None,
    "changed": ["package.json"],
}


def report(output, work=lambda: None):
    """
    Report something of each kind; *work* is done in the step.
    """
    output.note("a note")
    output.tell("cached-setup", "a fact", **SETUP)
    with output.step("pulling x") as step:
        step.advance(Advance(1, 3, "layers", 40))
        output.script("a line")
        output.detail("a detail")
        work()
    output.event("result", exit_code=0)


def test_each_event_has_a_time_and_a_kind():
    """
    The events of one step share a number.
    """
    now = 0.0

    def work():
        nonlocal now
        now += 2.5

    lines = Written()
    report(EventOutput("progress", lines.append, clock=lambda: now), work)

    kinds = ["note", "cached-setup", "step-started", "progress", "script", "step-ended", "result"]
    assert kinds == lines.kinds
    note, fact, started, progress, script, ended, result = lines.events
    assert all(isinstance(one["time"], float) for one in lines.events)
    assert ("a fact", "k") == (fact["text"], fact["key"])
    assert ("a note", "a line", 0) == (note["text"], script["line"], result["exit_code"])
    assert (1, "pulling x") == (started["step"], started["title"])
    assert {"step": 1, "done": 1, "total": 3, "unit": "layers", "percent": 40} == {
        k: v for k, v in progress.items() if k not in ("time", "event")
    }
    assert (1, True) == (ended["step"], ended["ok"])
    assert 2.5 == ended["duration"]


def test_a_step_that_is_not_announced_is_an_event_when_its_progress_is_known():
    """
    What is measured is written, too. Without progress, there is nothing to say.
    """
    now = 0.0
    lines = Written()
    output = EventOutput("progress", lines.append, clock=lambda: now)
    for measure in (None, lambda: Advance(3, 0, "bytes")):
        with output.step("saving", announced=False) as step:
            step.begin("copying", measure)
            now += 10
            output.ticked(step)

    assert lines.kinds == ["step-started", "progress", "step-ended"]
    assert {one["step"] for one in lines.events} == {1}
    assert (lines.events[1]["done"], lines.events[1]["total"]) == (3, None)


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("quiet", ["result"]),
        (
            "stream",
            [
                *("note", "cached-setup", "step-started", "progress", "script", "detail"),
                *("step-ended", "result"),
            ],
        ),
    ],
)
def test_the_mode_chooses_the_events(mode, kinds):
    """
    Programs get as much or as little as users do.
    """
    lines = Written()
    report(EventOutput(mode, lines.append))

    assert kinds == lines.kinds


def test_a_step_that_failed_has_an_end():
    """
    The next step has the next number.
    """
    lines = Written()
    output = EventOutput("progress", lines.append)
    with pytest.raises(ValueError, match="no"), output.step("first"):
        raise ValueError("no")
    with output.step("second"):
        pass

    assert [(1, False), (2, True)] == [
        (one["step"], one["ok"]) for one in lines.events if one["event"] == "step-ended"
    ]


def test_progress_of_a_step_is_written_at_most_once_a_second():
    """
    An engine sends many messages a second. The last one is always written.
    """
    lines = Written()
    now = 0.0
    with EventOutput("progress", lines.append, clock=lambda: now).step("x") as step:
        for percent in range(101):
            step.advance(Advance(0, 1, "layers", percent))
            now += 1 / 32

    progress = [one for one in lines.events if one["event"] == "progress"]
    assert [0, 32, 64, 96, 100] == [one["percent"] for one in progress]


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x9b2J", "\udcff", "two\nlines", "ü"])
def test_an_event_cannot_control_a_terminal(text):
    """
    An event is one line of ASCII that every JSON parser reads.
    """
    line = event_line("note", text=text, inner=[{"a": text}])

    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert read["text"] == read["inner"][0]["a"] == text.replace("\udcff", "\ufffd")
    read["text"].encode()


def test_the_facts_of_a_request_do_not_include_its_bodies():
    """
    Bodies may hold secrets.
    """
    request = Request(
        *(7, 1.5, "test", "GET", "https", "example.org", 443, "/", "https://example.org/"),
        *(403, 10, 0.1, "blocked", "offline", "why"),
        request_body=b"secret",
        process="sh › curl",
    )

    facts = facts_of(request)

    assert ("blocked", "offline", "GET", 403, "sh › curl") == (
        facts["verdict"],
        facts["reason"],
        facts["method"],
        facts["status"],
        facts["process"],
    )
    assert "secret" not in event_line("result", blocked=[facts])


def test_the_schema_and_the_document_have_the_same_events():
    """
    Events, verdicts, reasons, and the fields of a request.
    """
    found = schema()
    kinds = found["properties"]["event"]["enum"]
    assert kinds == [one["if"]["properties"]["event"]["const"] for one in found["allOf"]]
    text = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    assert set(kinds) == {
        *re.findall(r"^\| `([a-z-]+)` \|", text.partition("## The last event")[0], re.MULTILINE),
        *("result", "error"),
    }
    request = found["definitions"]["request"]["properties"]
    assert request["verdict"]["enum"] == list(VERDICTS)
    assert request["reason"]["anyOf"][0]["enum"] == list(REASONS)


def test_no_event_is_a_command_of_a_ci_service():
    """
    A runner of GitHub looks for one in each line; what is read is the text as it was.
    """
    line = event_line("script", line="a ##[error]b ###[c]")

    assert commands([line]) == []
    assert "##[" not in line
    assert json.loads(line)["line"] == "a ##[error]b ###[c]"


@pytest.mark.parametrize(
    "event", [{"event": "note"}, {"event": "x", "text": ""}, {"event": "result", "exit_code": "0"}]
)
def test_the_schema_refuses_what_is_no_event(event):
    """
    So the tests that use it can fail.
    """
    with pytest.raises(AssertionError):
        read_events([json.dumps({"time": 1.0, **event})])
