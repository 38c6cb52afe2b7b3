"""Tests of copying setups between the engines of a run, with engines in memory."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_codex_workspace.cache.neighbours import Neighbours
from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import EngineError, EngineUnavailable
from pytest_codex_workspace.reporting.output import Output
from tests.fakes.engine import FakeEngine

TAG = f"{IMAGE}:setup-k"


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


class Row:
    """
    An engine with neighbours called `a`, `b` and so on. Names that are not there do not answer.
    """

    def __init__(self, count=1, **options):
        self.said = []
        self.asked = []
        self.own = FakeEngine()
        self.others = {name: FakeEngine() for name in "abc"[:count]}
        self.neighbours = Neighbours(
            self.own,
            [*"abc"],
            connect=self._connect,
            ttl=3600.0,
            limit=options.pop("limit", 10**9),
            output=Output("progress", self.said.append),
            **options,
        )

    def _connect(self, name):
        self.asked.append(name)
        if name not in self.others:
            raise EngineUnavailable(f"{name} is away")
        return self.others[name]

    def setup(self, name, *, key="k", kind="setup", age=0.0):
        marks = {
            labels.KIND: kind,
            labels.KEY: key,
            labels.CREATED: f"{time.time() - age:.3f}",
        }
        return self.others[name].add_image(TAG, labels=marks)


def test_a_setup_is_copied_with_its_tag():
    """
    The first neighbour that has it is taken. Nothing of the copy stays on the disk here.
    """
    row = Row(count=2)
    made = row.setup("b")

    found = row.neighbours.fetch("k")

    assert found is not None
    assert found.labels == made.labels
    assert row.own.image(TAG).id == found.id
    assert any("comes from the engine b" in line for line in row.said)


@pytest.mark.parametrize("wrong", [{"key": "other"}, {"kind": "ready"}, {"age": 7200.0}])
def test_what_is_no_valid_setup_is_not_copied(wrong):
    """
    Whatever its tag says.
    """
    row = Row()
    row.setup("a", **wrong)

    assert row.neighbours.fetch("k") is None
    assert row.own.image(TAG) is None


def test_what_is_too_large_is_not_copied():
    """
    It would be removed again.
    """
    row = Row(limit=-1)
    row.setup("a")

    assert row.neighbours.fetch("k") is None


def test_a_neighbour_that_is_away_is_asked_once():
    """
    Nobody waits for it before each setup.
    """
    row = Row(count=1)

    assert row.neighbours.fetch("k") is None
    assert row.neighbours.fetch("k") is None

    assert ["a", "b", "c", "a"] == row.asked


def test_an_error_of_a_neighbour_is_a_warning(monkeypatch):
    """
    The next one is asked.
    """
    row = Row(count=2)
    row.setup("a")
    row.setup("b")

    def refuse(references):
        raise EngineError("its disk is full")

    monkeypatch.setattr(row.others["a"], "save", refuse)

    assert row.neighbours.fetch("k") is not None
    assert any("could not be copied from the engine a" in line for line in row.said)


def test_nobody_waits_for_a_neighbour_that_sends_nothing(monkeypatch):
    """
    It is given up, and a warning says so.
    """
    over = threading.Event()

    def stall(references):
        yield b"begin"
        over.wait(30)

    row = Row(patience=0.05)
    row.setup("a")
    monkeypatch.setattr(row.others["a"], "save", stall)

    assert row.neighbours.fetch("k") is None

    over.set()
    assert any("sends nothing of the setup image" in line for line in row.said)
