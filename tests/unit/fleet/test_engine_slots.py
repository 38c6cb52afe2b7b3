"""Tests of asking engines how much they can take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_codex_workspace.engine.protocol import Capacity
from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.fleet.engine_slots import MOST, answers, find_slots


def engine_with(cpus):
    return SimpleNamespace(capacity=Capacity(cpus=cpus), close=lambda: None)


def connect(name):
    if name == "away":
        raise EngineUnavailable("nothing answers there")
    return engine_with(int(name))


@pytest.mark.parametrize(
    ("has", "cpus", "jobs", "slots"),
    [
        ("8", 2.0, None, 4),
        ("3", 2.0, None, 1),
        ("1", 2.0, None, 1),
        ("0", 2.0, None, 1),  # It does not say.
        ("64", 2.0, None, MOST),
        ("64", 0.0, None, 1),  # One workspace may use all of them.
        ("1", 0.5, None, 2),
        ("2", 2.0, 16, 16),
    ],
)
def test_an_engine_takes_what_it_has_processors_for(has, cpus, jobs, slots):
    """
    Or what the user says.
    """
    ((place,), silent) = find_slots([has], cpus=cpus, jobs=jobs, connect=connect)

    assert (place.engine, place.slots, silent) == (has, slots, [])


def test_engines_that_do_not_answer_are_named():
    """
    The others take part, in the order in which they were given.
    """
    found, silent = find_slots(["4", "away", "8"], cpus=2.0, jobs=None, connect=connect)

    assert ["4", "8"] == [one.engine for one in found]
    assert ["away: nothing answers there"] == silent


def test_whether_an_engine_answers_now():
    """
    Whatever it said before.
    """
    assert answers("2", connect)
    assert not answers("away", connect)
