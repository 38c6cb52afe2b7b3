"""Tests of where snapshots are kept, on the fake engine."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.engine.sweep import sweep
from pytest_codex_workspace.errors import SnapshotError
from pytest_codex_workspace.snapshots import keeper as module
from pytest_codex_workspace.snapshots.keeper import SnapshotKeeper
from pytest_codex_workspace.snapshots.snapshot import Snapshot

from ...fakes.engine import FakeEngine
from ...helpers.fake_workspaces import World


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine(run=lambda *_: 0)
    made.add_image("root:1")
    return made


def kept(engine: FakeEngine, keeper: SnapshotKeeper, image: str = "root:1") -> Snapshot:
    container = engine.create(World.spec_of(image))
    start = Snapshot(image, "demo", image)
    made = keeper.keep(container, start, 5)
    engine.remove(container)
    return made


def test_the_least_recently_used_snapshot_is_removed(engine, monkeypatch):
    """
    Using one that is gone is an error that says why. What is pinned stays, and does not count.
    """
    monkeypatch.setattr(module, "MOST", 2)
    keeper = SnapshotKeeper(engine, Identity())
    pinned = kept(engine, keeper)
    keeper.pin(pinned)
    first, second = kept(engine, keeper), kept(engine, keeper)
    keeper.use(first)

    third = kept(engine, keeper)

    for one in (pinned, first, third):
        keeper.use(one)
    assert engine.image(second.image) is None
    with pytest.raises(SnapshotError, match="of demo is not there any more: a run keeps the 2"):
        keeper.use(second)


def test_an_image_of_the_cache_is_left_alone(engine, monkeypatch):
    """
    It can be used, does not count, and outlives the session.
    """
    monkeypatch.setattr(module, "MOST", 1)
    keeper = SnapshotKeeper(engine, Identity())
    cached = Snapshot(engine.add_image("cached:1").id, "demo", "root")
    keeper.adopt(cached)
    for _ in range(2):
        kept(engine, keeper)

    keeper.use(cached)
    keeper.close()

    assert engine.image("cached:1")
    assert engine.images({labels.KIND: "temporary"}) == []


def test_an_image_that_somebody_removed_is_missed(engine):
    """
    Before a workspace is ended for it.
    """
    keeper = SnapshotKeeper(engine, Identity())
    made = kept(engine, keeper)
    engine.remove_image(made.image)

    with pytest.raises(SnapshotError, match="is not there any more"):
        keeper.use(made)


def test_snapshots_are_those_of_one_session(engine):
    """
    Another session's are not removed with them.
    """
    keeper, other = SnapshotKeeper(engine, Identity()), SnapshotKeeper(engine, Identity())
    made = kept(engine, keeper)
    upon = kept(engine, keeper, made.image)
    of_other = kept(engine, other)

    with pytest.raises(SnapshotError):
        other.use(made)
    keeper.close()

    assert [engine.image(one.image) for one in (made, upon)] == [None, None]
    assert engine.image(of_other.image)
    assert (made.root, made.since) == ("root:1", 5)


def test_a_sweep_removes_those_of_a_killed_session(engine, monkeypatch):
    """
    And no other.
    """
    made = kept(engine, SnapshotKeeper(engine, Identity()))
    assert sweep(engine) == []
    monkeypatch.setattr("pytest_codex_workspace.engine.sweep.owner_is_gone", lambda _: True)

    assert sweep(engine)

    assert engine.images({labels.KIND: "temporary"}) == []
    assert engine.image(made.image) is None
