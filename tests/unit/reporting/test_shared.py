"""Tests of progress of several processes that take part in the same run."""

from __future__ import annotations

from pytest_codex_workspace.reporting.shared import SharedOutput


def test_the_first_process_tells(tmp_path):
    """
    Its neighbours do not repeat it, although a minute may have passed; another fact, and another
    run, are told.
    """
    lines: list[str] = []
    outputs = [
        SharedOutput("progress", lines.append, tmp_path / "told", run) for run in ("1", "1", "2")
    ]

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
    lines: list[str] = []

    SharedOutput("progress", lines.append, tmp_path / "told", "1").tell("x", "found", key="a")

    assert lines == ["codex: found"]
