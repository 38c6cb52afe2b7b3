"""How workspaces share the thread of the proxy."""

from __future__ import annotations

import asyncio

import pytest

from proxy_addons.state import turns
from proxy_addons.state.turns import LARGEST_PIECE, Turn


class Clock:
    """
    A clock that only sleeping moves, and what was slept.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """
    Return a clock, and let it move when something sleeps.
    """
    made = Clock()
    monkeypatch.setattr(turns.asyncio, "sleep", made.sleep)
    return made


def test_little_work_never_waits(clock: Clock) -> None:
    """
    Ordinary requests take a millisecond.
    """
    turn = Turn(clock)
    for _ in range(5):
        turn.charge(0.001)
        asyncio.run(turn.wait(lambda: True))

    assert clock.slept == []


def test_a_workspace_waits_as_long_as_it_worked(clock: Clock) -> None:
    """
    So others get half of the time, however many connections it has.
    """
    turn = Turn(clock)

    async def work() -> None:
        await turn.wait(lambda: True)
        turn.charge(0.1)
        clock.now += 0.1

    async def many() -> None:
        await asyncio.gather(*[work() for _ in range(10)])

    turn.charge(0.1)
    asyncio.run(many())

    assert sum(clock.slept) == pytest.approx(0.1, abs=0.1)
    assert max(clock.slept) <= 0.5


def test_a_workspace_alone_goes_on_after_what_is_ready(clock: Clock) -> None:
    """
    Nobody else needs the time, but somebody new must be noticed.
    """
    turn = Turn(clock)
    turn.charge(3)
    asyncio.run(turn.wait(lambda: False))

    assert clock.slept == [0]


def test_a_debt_is_bounded(clock: Clock) -> None:
    """
    A single slow step does not stop a workspace for long.
    """
    turn = Turn(clock)
    turn.charge(60)
    asyncio.run(turn.wait(lambda: True))

    assert clock.slept == [pytest.approx(0.5)]


def test_slow_pieces_become_smaller(clock: Clock) -> None:
    """
    What takes long is processed in smaller pieces until it is quick again.
    """
    turn = Turn(clock)
    for _ in range(10):
        turn.charge(1)
    smallest = turn.piece
    for _ in range(10):
        turn.charge(0)

    assert smallest == 1024
    assert turn.piece == LARGEST_PIECE
