"""Tests of which repository is next on which engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_codex_workspace.fleet.engine_slots import EngineSlots
from pytest_codex_workspace.fleet.shares import Shares


@pytest.fixture
def places():
    return [EngineSlots("one", 1), EngineSlots("two", 1)]


def finish(shares, number, place, *, failed=False, lost=False):
    return shares.end(number, place, failed=failed, engine_lost=lost)


def test_each_engine_has_its_share_and_then_helps(places):
    """
    The next run finds the setups where this one has made them.
    """
    one, two = places
    shares = Shares(5, places)

    assert [0, 1, 2] == [shares.take(one), shares.take(two), shares.take(one)]
    for number, place in ((0, one), (1, two), (2, one)):
        assert finish(shares, number, place)
    assert [4, 3] == [shares.take(one), shares.take(one)]
    assert finish(shares, 4, one)
    assert finish(shares, 3, one)

    assert (shares.take(one), shares.take(two)) == (None, None)
    assert (one.done, two.done) == (4, 1)


def test_what_a_lost_engine_had_goes_to_the_others(places):
    """
    Who has nothing left waits for it.
    """
    one, two = places
    shares = Shares(2, places)
    assert [0, 1] == [shares.take(one), shares.take(two)]
    assert finish(shares, 0, one)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shares.take, one)
        assert not finish(shares, 1, two, failed=True, lost=True)
        assert 1 == waiting.result(10)

    assert shares.take(two) is None
    assert finish(shares, 1, one)
    assert [False, True] == [place.lost for place in places]


def test_a_result_from_before_the_loss_counts(places):
    """
    Another process on the same engine may have seen the loss first.
    """
    _, two = places
    shares = Shares(4, places)
    assert [1, 3] == [shares.take(two), shares.take(two)]
    assert not finish(shares, 3, two, failed=True, lost=True)

    assert finish(shares, 1, two)


def test_an_engine_that_is_back_gets_a_second_attempt(places):
    """
    After that, the failure is the result.
    """
    one, _ = places
    shares = Shares(1, places)
    assert 0 == shares.take(one)
    assert not finish(shares, 0, one, failed=True)
    assert 0 == shares.take(one)

    assert finish(shares, 0, one, failed=True)


def test_without_any_engine_the_rest_is_given_out(places):
    """
    What reading finds is a result, too.
    """
    one, two = places
    shares = Shares(3, places)
    assert [0, 1] == [shares.take(one), shares.take(two)]
    assert not finish(shares, 0, one, failed=True, lost=True)
    assert finish(shares, 1, two, failed=True, lost=True)

    assert [0, 2] == [shares.take(two), shares.take(one)]


def test_after_the_stop_nothing_is_given_out(places):
    """
    Nor given back.
    """
    one, two = places
    shares = Shares(3, places)
    assert 0 == shares.take(one)
    shares.stop()

    assert finish(shares, 0, one, failed=True, lost=True)
    assert shares.take(two) is None
