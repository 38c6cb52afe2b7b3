"""Tests of waiting for an engine that is away."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.engine import outage
from pytest_codex_workspace.engine.outage import Outage
from pytest_codex_workspace.errors import EngineError, EngineUnavailable


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """
    A clock that goes on by what is slept.
    """
    made = SimpleNamespace(now=0.0, monotonic=lambda: made.now, sleep=lambda s: wait(s))

    def wait(seconds: float) -> None:
        made.now += seconds

    monkeypatch.setattr(outage, "clock", made)
    return made


class Away:
    """
    An engine that does not answer some of the calls.
    """

    def __init__(self, *, failing: range) -> None:
        self._failing = failing
        self._calls = itertools.count()

    def __call__(self) -> str:
        if next(self._calls) in self._failing:
            raise EngineUnavailable("away")
        return "made"


def test_what_fails_during_an_outage_is_repeated(clock):
    """
    The engine answers again within the waiting time.
    """
    assert "made" == Outage().retry(Away(failing=range(50)))
    assert 0 < clock.now < 60


def test_an_outage_is_waited_for_once(clock):
    """
    The engine stays away: the first call waits a minute, and the next ones do not wait.
    """
    tried = Outage()
    for _ in range(3):
        with pytest.raises(EngineUnavailable, match="away"):
            tried.retry(Away(failing=range(10_000)))
    assert 60 <= clock.now < 61


def test_the_next_outage_is_waited_for_again(clock):
    """
    An answer ends the outage.
    """
    tried = Outage()
    with pytest.raises(EngineUnavailable):
        tried.retry(Away(failing=range(10_000)))
    tried.retry(Away(failing=range(0)))

    assert "made" == tried.retry(Away(failing=range(5)))


def test_the_time_of_work_is_no_waiting_time(clock):
    """
    What fails after ten minutes of work is repeated, too.
    """
    calls = Away(failing=range(1))

    def slow() -> str:
        clock.now += 600
        return calls()

    assert "made" == Outage().retry(slow)


def test_what_the_engine_refuses_is_not_repeated():
    """
    Only an engine that does not answer is waited for.
    """
    calls = []

    def refused() -> None:
        calls.append(1)
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        Outage().retry(refused)
    assert [1] == calls
