"""Tests of states that are prepared once."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.snapshots.prepared import PreparedStates, StateName
from pytest_codex_workspace.snapshots.snapshot import Snapshot


def made() -> Snapshot:
    return Snapshot("sha256:1", "demo", "sha256:0")


def test_a_name_is_shown_as_its_marker():
    """
    In errors and in the report.
    """
    assert str(StateName("a")) == "codex_snapshot('a')"
    assert str(StateName("a", "1")) == "codex_snapshot('a', key='1')"


def test_a_state_is_prepared_once():
    """
    For all that want the same.
    """
    states = PreparedStates()

    first = states.get(("a", {"x": 1}), made)

    assert states.get(("a", {"x": 1}), made) is first
    assert states.get(("a", {"x": 2}), made) is not first


def test_a_failure_is_remembered():
    """
    Every test gets the same error, at once.
    """
    states, calls = PreparedStates(), []

    def fail() -> Snapshot:
        calls.append(1)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            states.get("a", fail)
    assert calls == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, EngineUnavailable("it is away")])
def test_an_interrupted_preparation_is_no_failure(error):
    """
    Neither Ctrl-C nor an engine that is restarted says anything about the next attempt.
    """
    states = PreparedStates()

    def interrupted() -> Snapshot:
        raise error

    with pytest.raises((KeyboardInterrupt, EngineUnavailable)):
        states.get("a", interrupted)
    assert states.get("a", made)
