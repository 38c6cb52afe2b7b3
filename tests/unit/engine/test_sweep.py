"""Tests of removing what ended sessions left behind."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.engine.sweep import (
    keep_newest,
    left_behind,
    remove_images,
    remove_session,
    sweep,
)
from pytest_codex_workspace.errors import EngineError
from tests.fakes.engine import FakeEngine


@pytest.fixture(scope="module")
def dead_pid():
    """
    The id of a process that has ended.
    """
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def engine():
    """
    An engine in memory. Its containers are removed at the end.
    """
    found = FakeEngine()
    yield found
    for container in found.containers({}):
        found.remove(container.id)


def marks(owner, age=0.0):
    return {
        **Identity().labels("workspace"),
        labels.PID: owner,
        labels.CREATED: str(time.time() - age),
    }


def test_only_objects_of_ended_sessions_are_removed(engine, dead_pid):
    """
    Running sessions and caches keep theirs. Objects of another machine are removed by age.
    """
    alive = Identity().labels("workspace")[labels.PID]
    engine.add_image("i:1")
    owners = {
        "dead": marks(alive.rpartition(":")[0] + f":{dead_pid}"),
        "alive": marks(alive),
        "foreign": marks("elsewhere:1"),
        "foreign-old": marks("elsewhere:1", age=2 * 86400),
    }
    for name, found in owners.items():
        engine.create_network(f"net-{name}", internal=True, labels=found)
        engine.create(ContainerSpec("i:1", ["x"], name, labels=found))

    left = left_behind(engine)
    assert 4 == len(engine.containers({labels.SESSION: None}))
    removed = sweep(engine)

    assert sorted(removed) == sorted(left)
    assert {"container dead", "network net-dead", "container foreign-old",
            "network net-foreign-old"} == set(removed)  # fmt: skip
    assert {"alive", "foreign"} == {one.name for one in engine.containers({labels.SESSION: None})}


def test_images_in_use_are_kept(engine):
    """
    Other images are removed with all their tags.
    """
    engine.add_image("codex-workspace-emulator:used", labels={labels.KIND: "setup"})
    engine.add_image("codex-workspace-emulator:idle", labels={labels.KIND: "setup"})
    engine.create(ContainerSpec("codex-workspace-emulator:used", ["x"], "user"))

    assert ["image codex-workspace-emulator:idle"] == remove_images(engine, {labels.KIND: None})
    assert engine.image("codex-workspace-emulator:used") is not None


def test_a_network_that_cannot_be_removed_is_reported(engine, monkeypatch):
    """
    Engines sometimes miscount endpoints. That does not fail the run.
    """
    identity = Identity()
    engine.create_network("n", internal=True, labels=identity.labels("network"))

    def refuse(network):
        raise EngineError("it has active endpoints")

    monkeypatch.setattr("pytest_codex_workspace.engine.sweep._PATIENCE", 0.0)
    monkeypatch.setattr(engine, "remove_network", refuse)

    assert remove_session(engine, identity.id) == ["it has active endpoints"]
    monkeypatch.undo()
    assert remove_session(engine, identity.id) == []
    assert engine.networks({labels.SESSION: identity.id}) == []


def test_the_newest_of_a_kind_are_kept(engine):
    """
    Images of other kinds do not count.
    """
    for number in range(4):
        marks = {labels.KIND: "kept", labels.CREATED: str(number)}
        engine.add_image(f"{IMAGE}:kept-{number}", marks)
    engine.add_image(f"{IMAGE}:tools-a", {labels.KIND: "tools"})

    keep_newest(engine, "kept", 2)

    left = sorted(tag for one in engine.images({}) for tag in one.tags)
    assert [tag.partition(":")[2] for tag in left if ":kept-" in tag] == ["kept-2", "kept-3"]
    assert f"{IMAGE}:tools-a" in left
