"""What programs are told: one JSON object a line."""

from __future__ import annotations

import json

import pytest

from pytest_codex_workspace.engine.progress import Advance
from pytest_codex_workspace.events import EventOutput, event_line, facts_of
from pytest_codex_workspace.network.request import Request


class Told(list):
    """
    Lines, read.
    """

    @property
    def events(self):
        return [json.loads(line) for line in self]

    @property
    def kinds(self):
        return [one["event"] for one in self.events]


def tell(output):
    """
    Something of each kind.
    """
    output.note("a note")
    with output.step("pulling x") as step:
        step.advance(Advance(1, 3, "layers", 40))
        output.script("a line")
        output.detail("a detail")
    output.event("result", exit_code=0)


def test_everything_has_a_time_and_a_kind():
    """
    And a step a number by which its events belong together.
    """
    told = Told()
    tell(EventOutput("progress", told.append))

    kinds = ["note", "step-started", "progress", "script", "step-ended", "result"]
    assert kinds == told.kinds
    note, started, progress, script, ended, result = told.events
    assert all(isinstance(one["time"], float) for one in told.events)
    assert ("a note", "a line", 0) == (note["text"], script["line"], result["exit_code"])
    assert (1, "pulling x") == (started["step"], started["title"])
    assert {"step": 1, "done": 1, "total": 3, "unit": "layers", "percent": 40} == {
        k: v for k, v in progress.items() if k not in ("time", "event")
    }
    assert (1, True) == (ended["step"], ended["ok"])
    assert 0 <= ended["duration"] < 10


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("quiet", ["result"]),
        (
            "stream",
            ["note", "step-started", "progress", "script", "detail", "step-ended", "result"],
        ),
    ],
)
def test_modes(mode, kinds):
    """
    As people get more or less of it, so do programs.
    """
    told = Told()
    tell(EventOutput(mode, told.append))

    assert kinds == told.kinds


def test_a_step_that_failed():
    """
    It has ended as well, and the numbers go on.
    """
    told = Told()
    output = EventOutput("progress", told.append)
    with pytest.raises(ValueError, match="no"), output.step("first"):
        raise ValueError("no")
    with output.step("second", announced=False):
        pass

    assert [(1, False), (2, True)] == [
        (one["step"], one["ok"]) for one in told.events if one["event"] == "step-ended"
    ]


def test_progress_is_told_at_a_modest_rate():
    """
    An engine sends many messages a second; the last one is told in any case.
    """
    told = Told()
    with EventOutput("progress", told.append).step("x") as step:
        for percent in range(101):
            step.advance(Advance(0, 1, "layers", percent))

    assert [0, 100] == [one["percent"] for one in told.events if one["event"] == "progress"]


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x9b2J", "\udcff", "two\nlines", "ü"])
def test_nothing_steers_a_terminal(text):
    """
    One line of ASCII that every parser of JSON reads.
    """
    line = event_line("note", text=text, inner=[{"a": text}])

    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert read["text"] == read["inner"][0]["a"] == text.replace("\udcff", "\ufffd")
    read["text"].encode()


def test_a_request_without_its_bodies():
    """
    Which may hold secrets.
    """
    request = Request(
        *(7, 1.5, "test", "GET", "https", "example.org", 443, "/", "https://example.org/"),
        *(403, 10, 0.1, "blocked", "offline", "why"),
        request_body=b"secret",
    )

    facts = facts_of(request)

    assert ("blocked", "offline", "GET", 403) == (
        facts["verdict"],
        facts["reason"],
        facts["method"],
        facts["status"],
    )
    assert "secret" not in event_line("result", blocked=[facts])
