"""Tests of the clock that tests cannot change."""

from __future__ import annotations

import datetime
import subprocess
import sys
import time

import time_machine

from pytest_codex_workspace.unpatched import clock


def test_it_is_the_time_of_the_system():
    """
    Both clocks agree with Python's.
    """
    before = time.time(), time.monotonic()
    found = clock.wall_time(), clock.monotonic()
    after = time.time(), time.monotonic()

    assert before[0] - 1 <= found[0] <= after[0] + 1
    assert before[1] - 1 <= found[1] <= after[1] + 1
    assert clock.date_today() in {
        datetime.datetime.fromtimestamp(one, datetime.UTC).date().isoformat()
        for one in (before[0], time.time())
    }
    assert clock.local_time().tm_year in {time.localtime(before[0]).tm_year, time.localtime()[0]}


def test_a_shifted_time_does_not_reach_it():
    """
    time-machine changes what the functions of `time` run.
    """
    with time_machine.travel(datetime.datetime(2045, 1, 1, tzinfo=datetime.UTC), tick=False):
        assert time.gmtime().tm_year == 2045
        first, began = clock.wall_time(), clock.monotonic()
        clock.sleep(0.001)

        assert time.gmtime(first).tm_year < 2045
        assert clock.monotonic() > began
        assert not clock.date_today().startswith("2045")
        assert clock.local_time().tm_year < 2045


FROZEN = """
from pytest_codex_workspace.unpatched import clock
import freezegun, time
with freezegun.freeze_time("2045-01-01"):
    assert time.gmtime().tm_year == 2045
    began = clock.monotonic()
    clock.sleep(0.001)
    print(clock.monotonic() > began, clock.wall_time() < time.time(), clock.date_today() < "2045")
"""


def test_a_frozen_time_does_not_reach_it():
    """
    freezegun replaces the functions in every module, so it gets a process of its own.
    """
    run = subprocess.run(
        [sys.executable, "-c", FROZEN], capture_output=True, text=True, check=False
    )

    assert (run.stdout, run.stderr) == ("True True True\n", "")
