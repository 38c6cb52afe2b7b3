"""What the agent phase leads to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.conformance.agent_rules import agent_findings
from pytest_codex_workspace.conformance.observation import TestRun
from pytest_codex_workspace.conformance.project_tests import ProjectTests
from pytest_codex_workspace.errors import ServiceError

from .conftest import FAILED, PASSED, failure, seen

CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, []),
    "tests fail": ({"test_run": FAILED}, [("tests-fail", "error")]),
    "no tests": ({"tests": None, "test_run": None}, [("tests-unknown", "note")]),
    "tests that could not run": (
        {"setup_error": failure(), "tests": None, "test_run": None},
        [],
    ),
    "a program is not found": (
        {"test_run": TestRun("jest", 127, 0.1, "bash: jest: command not found")},
        [("tests-fail", "error")],
    ),
    "tests wait": (
        {"test_run": TestRun("make test", None, 60.0, "", "read a line")},
        [("prompt-unanswered", "error"), ("tests-fail", "error")],
    ),
    "tests have too little memory": (
        {"test_run": TestRun("make test", 137, 60.0, out_of_memory=True)},
        [("out-of-memory", "error"), ("tests-fail", "error")],
    ),
    "a variable that nothing mentions": ({"exports": {"A": 2}, "missing": ["A"]}, []),
    "a variable that files mention": (
        {"exports": {"A": 2}, "missing": ["A"], "used": ["A"]},
        [("variable-lost", "warning")],
    ),
    "the path, and an environment that setup activates": (
        {
            "exports": {"PATH": 2, "VIRTUAL_ENV": 3},
            "missing": ["PATH", "VIRTUAL_ENV"],
            "used": ["PATH", "VIRTUAL_ENV"],
        },
        [],
    ),
    "tests need a variable": (
        {"exports": {"A": 2}, "missing": ["A"], "test_run": FAILED, "with_exports": PASSED},
        [("variable-lost", "error"), ("tests-fail", "error")],
    ),
    "tests fail with the variables, too": (
        {"exports": {"A": 2}, "missing": ["A"], "test_run": FAILED, "with_exports": FAILED},
        [("tests-fail", "error")],
    ),
    "a login shell": ({"only_in_login_shell": ["tool"]}, [("login-shell", "note")]),
    "a secret": ({"secrets": [("TOKEN", "/root/.npmrc")]}, [("secret-on-disk", "error")]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_findings(name):
    """
    Each observation leads to its findings, each with something to do.
    """
    changes, wanted = CASES[name]

    found = list(agent_findings(seen(**changes)))

    assert [(one.id, one.level) for one in found] == wanted
    assert all(one.in_codex and one.remedy for one in found)


def test_the_end_of_the_output_is_shown_without_control_sequences():
    """
    What tests print is not trusted.
    """
    run = TestRun("make test", 1, 1.0, "x\n\x1b[31mfailed\x07\n")

    (found,) = agent_findings(seen(test_run=run))

    assert "failed" in found.what
    assert "\x1b" not in found.what + found.remedy


def test_a_configured_command_is_not_doubted():
    """
    What was detected may be the wrong command, and its source is named.
    """
    guessed, configured = (
        next(iter(agent_findings(seen(tests=ProjectTests("x", source), test_run=FAILED)))).remedy
        for source in ("Makefile", ".codex-workspace.yaml")
    )

    assert "it is from Makefile" in guessed
    assert "check:" not in configured


def test_the_output_of_tests_is_named():
    """
    The finding has its last words only.
    """
    run = replace(FAILED, log_path=Path("/logs/a-tests.log"))

    (found,) = agent_findings(seen(test_run=run))

    assert "its output is in /logs/a-tests.log" in found.remedy


def test_a_service_that_does_not_start_has_printed_why():
    """
    The tests did not run, which is no finding of its own.
    """
    said = "the service web ended with exit code 3\nhello\nerror: no port\nbye\n"
    error = ServiceError(said, service="web")

    (found,) = agent_findings(seen(service_error=error, test_run=None))

    assert ("service-fails", ".codex-workspace.yaml") == (found.id, found.where)
    assert found.what == (
        "a service does not start: the service web ended with exit code 3: error: no port"
    )


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("E   FileNotFoundError: [Errno 2] No such file or directory: 'data/taxes.json'", True),
        ("Error: ENOENT: no such file or directory, open 'data/taxes.json'", True),
        ("FAILED tests/test_a.py - assert 1 == 2", False),
    ],
)
def test_a_missing_file_may_be_one_that_is_not_committed(printed, said):
    """
    The remedy says how to find it.
    """
    (finding,) = agent_findings(seen(test_run=TestRun("pytest", 1, 1.0, printed)))

    assert ("git status --short --ignored" in finding.remedy) is said
