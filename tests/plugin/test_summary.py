"""Tests of what the workspaces of a run leave for the summary."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.plugin.summary import Tally


def test_the_tallies_of_workers_are_added():
    """
    Counts are summed, and what is known of one setup is there once.
    """
    ours, first, second = Tally(), Tally(), Tally()
    first.count("hit")
    first.kept.append("test_a is kept")
    first.setups["key"] = ["warning"]
    second.count("hit", 2)
    second.count("miss")
    second.setups["key"] = ["warning"]

    ours.add(first.to_dict())
    ours.add(second.to_dict())

    assert {"hit": 3, "miss": 1} == ours.counts
    assert ["test_a is kept"] == ours.kept
    assert {"key": ["warning"]} == ours.setups


def test_a_run_without_a_terminal_writes_its_report(pytester):
    """
    Its place is said on standard error. An earlier report is replaced.
    """
    pytester.makepyfile("def test_it(): pass")
    (pytester.path / "report" / "parts").mkdir(parents=True)
    (pytester.path / "report" / "report.json").write_text("old")

    result = pytester.runpytest_subprocess("-pno:terminal", "--codex-report=report")

    assert f"codex report: {pytester.path / 'report' / 'index.html'}" in result.stderr.str()
    assert "No workspace was used." in (pytester.path / "report" / "index.html").read_text()
    assert "old" != (pytester.path / "report" / "report.json").read_text()


@pytest.mark.parametrize("option", ["--collect-only", "--help", "--fixtures"])
def test_a_run_without_tests_leaves_the_report_alone(pytester, option):
    """
    It only shows something.
    """
    pytester.makepyfile("def test_it(): pass")
    (pytester.path / "report" / "parts").mkdir(parents=True)
    (pytester.path / "report" / "report.json").write_text("old")

    result = pytester.runpytest(option, "--codex-report=report")

    assert 0 == result.ret
    assert {"parts", "report.json"} == {one.name for one in (pytester.path / "report").iterdir()}


def test_a_page_of_somebody_else_is_a_warning(pytester):
    """
    The run goes on, and the page stays.
    """
    pytester.makepyfile("def test_it(): pass")
    (pytester.path / "index.html").write_text("<h1>mine</h1>")

    result = pytester.runpytest("--codex-report=.", "-Werror")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*report*is incomplete*is not the page of a report*"])
    assert "<h1>mine</h1>" == (pytester.path / "index.html").read_text()
