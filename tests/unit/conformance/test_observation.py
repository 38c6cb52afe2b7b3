"""What is said of the project's tests."""

from __future__ import annotations

from dataclasses import replace

from .conftest import FAILED, PASSED, seen


def test_tests_that_did_not_run_have_not_failed():
    """
    Those that were killed have.
    """
    assert not seen(test_run=None).tests_failed
    assert not seen(test_run=PASSED).tests_failed
    assert seen(test_run=FAILED).tests_failed
    assert seen(test_run=replace(PASSED, exit_code=None)).tests_failed
