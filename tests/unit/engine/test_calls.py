"""The log of calls to an engine."""

from __future__ import annotations

import logging

import pytest

from pytest_codex_workspace.engine.calls import timed_call
from pytest_codex_workspace.text.loggers import TOP, logger_of

LOG = logger_of(f"{TOP}.engine.some")


def test_a_call_is_logged_with_status_and_duration(caplog):
    """
    An error is, too, and is raised.
    """

    def refuse():
        raise ValueError("no")

    with caplog.at_level(logging.DEBUG):
        assert 204 == timed_call(LOG, lambda: 204, "GET", "/x", "(try)", status=lambda one: one)
        assert None is timed_call(LOG, lambda: None, "lock")
        with pytest.raises(ValueError, match="no"):
            timed_call(LOG, refuse, "GET", "/y")

    first, second, third = caplog.messages
    assert first.startswith("GET /x (try): 204 in ")
    assert second.startswith("lock: done in ")
    assert third.startswith("GET /y: ValueError after ")
    assert third.endswith(" ms: no")


def test_no_time_is_taken_unless_somebody_listens(monkeypatch):
    """
    Nor is the status asked for.
    """
    monkeypatch.setattr("pytest_codex_workspace.unpatched.clock.monotonic", pytest.fail)

    assert 1 == timed_call(LOG, lambda: 1, "GET", status=pytest.fail)
