"""Tests of facts that several processes of one run find."""

from __future__ import annotations

from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.reporting.shared import SharedFacts


def test_the_first_process_tells(tmp_path):
    """
    Its neighbours do not repeat it, although a minute may have passed; another fact, and another
    run, are told.
    """
    lines: list[str] = []
    outputs = [Output("progress", lines.append) for _ in range(3)]
    for output, run in zip(outputs, ("1", "1", "2"), strict=True):
        output.is_news = SharedFacts(tmp_path / "told", run).is_news

    for number, output in enumerate(outputs):
        output.tell("cached-setup", f"found {number}", key="a")
        output.note("a note")
    outputs[1].tell("cached-setup", "found more", key="b")

    told = [line for line in lines if "found" in line]
    assert told == ["codex: found 0", "codex: found 2", "codex: found more"]
    assert lines.count("codex: a note") == 3


def test_told_twice_is_better_than_not_at_all(tmp_path):
    """
    Where the directory cannot be written, nothing fails.
    """
    (tmp_path / "told").write_text("")

    facts = SharedFacts(tmp_path / "told", "1")

    assert [facts.is_news("x", {"key": "a"}) for _ in range(2)] == [True, True]
