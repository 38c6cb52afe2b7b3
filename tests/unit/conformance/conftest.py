"""Observations to judge."""

from __future__ import annotations

from typing import Any

from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.conformance.observation import Observation, TestRun
from pytest_codex_workspace.conformance.project_tests import ProjectTests
from pytest_codex_workspace.errors import SetupError

TESTS = ProjectTests("make test", "Makefile")
PASSED = TestRun("make test", 0, 1.0)
FAILED = TestRun("make test", 2, 1.0, "E   assert False\n1 failed\n")


def seen(**changes: Any) -> Observation:
    """
    Return what is seen of a repository without faults, but for *changes*.
    """
    usual: dict[str, Any] = {
        "setup_script": "set -e\n",
        "setup_duration": 3.0,
        "resume_duration": 1.0,
        "tests": TESTS,
        "test_run": PASSED,
    }
    return Observation(**{**usual, **changes})


def failure(
    tail: str = "no such file\n", what: str = "exited with 3", **changes: Any
) -> SetupError:
    """
    Return the error of a script that failed.
    """
    facts: dict[str, Any] = {"script": SETUP, "exit_code": 3, "tail": tail, "where": "line 2: cp a"}
    return SetupError(f"{SETUP} {what}", **{**facts, **changes})
