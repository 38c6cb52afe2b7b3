"""Tests of checking many repositories at once, without processes and engines."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_codex_workspace.fleet.engine_slots import EngineSlots
from pytest_codex_workspace.fleet.pool import Pool
from pytest_codex_workspace.fleet.worker import Ended


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


GOOD = Ended((), {"failure": None, "error": None}, "", "")
LOST = Ended((), {"failure": "it is away", "error": "EngineUnavailable"}, "", "")


class FakeWorker:
    """
    A process that ends as *ends* says.
    """

    def __init__(self, ends):
        self._ends = ends
        self.ended = threading.Event()

    def run(self, tell):
        tell({"event": "note", "text": "hello"})
        return self._ends(self)

    def end(self):
        self.ended.set()


class Yard:
    """
    Two engines, and a pool on them.
    """

    def __init__(self, count, ends, *, slots=1):
        self.places = [EngineSlots("one", slots), EngineSlots("two", slots)]
        self.said = []
        self.told = []
        self.results = {}
        self.started = []
        self.away = set()
        self._ends = ends
        self.pool = Pool(
            count,
            self.places,
            start=self._start,
            tell=lambda number, event: self.told.append((number, event["text"])),
            note=self.said.append,
            name=lambda number: f"repo-{number}",
            alive=lambda engine: engine not in self.away,
        )

    def _start(self, number, place):
        self.started.append((number, place.engine))
        return FakeWorker(lambda worker: self._ends(self, number, place, worker))

    def run(self):
        self.pool.run(lambda one: self.results.setdefault(one.number, []).append(one))


def test_each_repository_has_one_result():
    """
    Its progress is told, too.
    """
    yard = Yard(7, lambda *_: GOOD, slots=2)

    yard.run()

    assert sorted(yard.results) == list(range(7))
    assert all(len(one) == 1 for one in yard.results.values())
    assert sorted(yard.told) == [(number, "hello") for number in range(7)]
    assert 7 == sum(one.done for one in yard.places)


def test_an_engine_is_lost_in_the_middle():
    """
    What it had is checked on the other one, and the loss is told once.
    """

    def end(yard, number, place, worker):
        if place.engine == "two" and number >= 3:
            yard.away.add("two")
            return LOST
        # So that the other one cannot have done all of it by then.
        assert place.engine == "two" or until(lambda: yard.away)
        return GOOD

    yard = Yard(8, end, slots=2)
    yard.run()

    assert sorted(yard.results) == list(range(8))
    assert all(one.ended is GOOD for each in yard.results.values() for one in each)
    assert 1 == sum("two does not answer any more" in line for line in yard.said)
    assert any("one takes its repositories" in line for line in yard.said)


def test_both_engines_are_lost():
    """
    Each repository has a result, which says so.
    """

    def end(yard, number, place, worker):
        yard.away.add(place.engine)
        return LOST

    yard = Yard(4, end)
    yard.run()

    assert sorted(yard.results) == list(range(4))
    assert all(one.lost for one in yard.places)
    assert any("it was the last one" in line for line in yard.said)


def test_a_failure_of_the_repository_is_its_result():
    """
    The engine answers, so nothing is tried again.
    """
    failed = Ended((), {"failure": "no HEAD", "error": "ProjectionError"}, "", "")
    killed = Ended((), None, "", "its process ended by the signal SIGKILL")

    yard = Yard(2, lambda yard, number, place, worker: killed if number else failed)
    yard.run()

    assert [0, 1] == sorted(number for number, _ in yard.started)
    assert [failed, killed] == [yard.results[number][0].ended for number in range(2)]


def test_an_error_here_ends_the_processes():
    """
    Standard output is closed, for example.
    """

    def end(yard, number, place, worker):
        if number:
            assert worker.ended.wait(30)
        return GOOD

    yard = Yard(6, end)
    with pytest.raises(BrokenPipeError):
        yard.pool.run(lambda one: (_ for _ in ()).throw(BrokenPipeError()))

    assert len(yard.started) <= 3


def test_an_interrupt_ends_the_processes(monkeypatch):
    """
    It is raised when they have cleaned up. What they were doing is no result.
    """

    def end(yard, number, place, worker):
        if number < 2:
            return GOOD
        assert worker.ended.wait(30)
        return GOOD

    yard = Yard(8, end)
    join = yard.pool._join

    def interrupted(threads, seconds):
        if seconds is None:
            while len(yard.started) < 4:
                threads[0].join(0.001)
            raise KeyboardInterrupt
        join(threads, seconds)

    monkeypatch.setattr(yard.pool, "_join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        yard.run()

    assert [0, 1] == sorted(yard.results)
    assert 4 == len(yard.started)


def test_an_interrupt_may_reach_the_processes_first():
    """
    On a terminal, all get it. What it has ended has no result, and nothing else begins.
    """
    interrupted = Ended((), None, "", "interrupted", interrupted=True)
    yard = Yard(6, lambda *_: interrupted)
    join = yard.pool._join

    def late(threads, seconds):
        if seconds is None:
            assert until(lambda: len(yard.started) == 2)
            raise KeyboardInterrupt
        join(threads, seconds)

    yard.pool._join = late
    with pytest.raises(KeyboardInterrupt):
        yard.run()

    assert ({}, 2) == (yard.results, len(yard.started))
