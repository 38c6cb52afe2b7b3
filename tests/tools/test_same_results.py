"""What differs between the reports of two engines is told, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import same_results

REPORT: dict[str, Any] = {
    "tests": [{"test": "test_a.py::test_it", "outcome": "passed"}],
    "workspaces": [
        {
            "test": "test_a.py::test_it",
            "commands": [
                {
                    "text": "cat /proc/1/x",
                    "state": "exited",
                    "exit_code": 0,
                    "stdout": "8f14e45fceea 12 lines\nanother\n",
                    "stderr": "",
                }
            ],
            "requests": [
                {
                    "phase": "test",
                    "method": "GET",
                    "host": "a.example",
                    "verdict": "blocked",
                    "status": 403,
                }
            ],
        },
        {"test": "the whole run", "commands": [{"text": "true", "state": "exited"}]},
    ],
}


def changed(change: Any) -> list[str]:
    other = copy.deepcopy(REPORT)
    change(other)
    return list(
        same_results.differences(
            same_results.read_stories(REPORT), same_results.read_stories(other)
        )
    )


def test_a_report_is_the_same_as_itself() -> None:
    assert changed(lambda report: None) == []


def test_ids_numbers_and_the_order_of_lines_are_any() -> None:
    def change(report: Any) -> None:
        report["workspaces"][0]["commands"][0]["stdout"] = "another\nc9f0f895fb98 7 lines\n"

    assert changed(change) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("exit_code", 1), ("state", "lost"), ("stdout", "none"), ("stderr", "warning"), ("text", "x")],
)
def test_what_a_command_did_differs(name: str, value: object) -> None:
    def change(report: Any) -> None:
        report["workspaces"][0]["commands"][0][name] = value

    (line,) = changed(change)
    assert line.startswith(f"test_a.py::test_it: {name} of 'cat /proc/#/x': ")


def test_words_have_an_order_where_lines_have_none() -> None:
    def change(report: Any) -> None:
        report["workspaces"][0]["commands"][0]["stdout"] = "lines 12 8f14e45fceea\nanother\n"

    assert len(changed(change)) == 1


def test_variables_that_nothing_separates_have_no_order() -> None:
    def stories(output: str) -> Any:
        other = copy.deepcopy(REPORT)
        other["workspaces"][0]["commands"][0] |= {"text": "env -0", "stdout": output}
        return same_results.read_stories(other)

    assert [*same_results.differences(stories("A=xB=y"), stories("B=yA=x"))] == []
    assert [*same_results.differences(stories("A=xB=y"), stories("A=xB=z"))] != []


def test_a_reset_is_one_whenever_curl_notices_it() -> None:
    def stories(text: str, code: int) -> Any:
        other = copy.deepcopy(REPORT)
        other["workspaces"][0]["commands"][0] |= {"text": text, "exit_code": code}
        return same_results.read_stories(other)

    assert [*same_results.differences(stories("curl a", 55), stories("curl a", 56))] == []
    assert [*same_results.differences(stories("curl a", 56), stories("curl a", 7))] != []
    assert [*same_results.differences(stories("make a", 55), stories("make a", 56))] != []


def test_a_verdict_differs() -> None:
    def change(report: Any) -> None:
        report["workspaces"][0]["requests"][0]["verdict"] = "allowed"

    (line,) = changed(change)
    assert "requests: {'test GET a.example blocked 403': 1} and " in line


def test_an_outcome_a_test_and_a_command_are_missed() -> None:
    assert changed(lambda report: report["tests"][0].update(outcome="skipped")) == [
        "test_a.py::test_it: outcome: 'passed' and 'skipped'"
    ]
    assert changed(lambda report: report["workspaces"][1]["commands"].clear()) == [
        "the whole run: number of commands: 1 and 0"
    ]
    assert changed(lambda report: report["workspaces"][0]["commands"].clear()) == [
        "test_a.py::test_it: number of commands: 1 and 0"
    ]
