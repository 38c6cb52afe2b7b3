"""Tests of what a workspace was started from, on a fake engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import EngineError, SnapshotError, WorkspaceLost
from pytest_codex_workspace.options.services import ReadyWhen, ServiceSpec
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.workspace.handle import Workspace

from ...helpers.fake_workspaces import HISTORY, StubProjection, World, snapshot

pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def world(monkeypatch) -> World:
    """
    An engine on which nothing is cached, and projections without git.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.Projection", StubProjection)
    return World()


@pytest.fixture
def session(world) -> Iterator[Session]:
    with world.session() as session:
        yield session


def started(session: Session, state="ready") -> Workspace:
    return session.workspace(session.spec(snapshot(), {}), state)


def changes(found) -> dict[str, str]:
    return {one.path: one.kind for one in found}


def test_changes_since_the_start(session, world):
    """
    They are compared with the image, in a container that is gone afterwards.
    """
    ws = started(session)
    assert changes(ws.diff(since="start")) == {}
    before = len(world.engine.containers({}))
    ws.path(HISTORY).write_text("other\n")
    ws.path("/new").write_text("new\n")
    ws.path("/etc/hosts").write_text("ours\n")

    assert changes(ws.diff(since="start")) == {HISTORY: "changed", "/new": "added"}
    assert len(world.engine.containers({})) == before


def test_what_is_written_again_has_not_changed(session):
    """
    The engine says it has; content counts.
    """
    ws = started(session)
    ws.path(HISTORY).write_bytes(ws.path(HISTORY).read_bytes())

    assert changes(ws.diff(since="start")) == {}


def test_setup_that_ran_in_the_workspace_is_a_change(session):
    """
    As the documentation says.
    """
    assert changes(started(session, "miss").diff(since="start"))[HISTORY] == "changed"


def test_more_paths_than_are_compared(session, monkeypatch):
    """
    The result says so.
    """
    for module in ("history", "file_system"):
        monkeypatch.setattr(f"pytest_codex_workspace.snapshots.{module}.MOST_PATHS", 1)
    ws = started(session)
    ws.path("/a").write_text("a")

    found = ws.diff(since="start")

    assert changes(found) == {"/a": "added"}
    assert found.truncated


def test_a_workspace_returns_to_a_snapshot(session, world):
    """
    The files are those of the snapshot, in another container that is called the same; its log,
    policy and paths stay.
    """
    ws = started(session)
    path, first = ws.path("/state"), ws.container
    path.write_text("kept")
    world.request(first, "before.test")
    snap = ws.snapshot()
    path.write_text("lost")
    ws.network.use("offline")
    registered = len(world.registered)

    ws.restore(snap)

    assert path.read_text() == "kept"
    assert (ws.id, world.engine.container(first)) == (first, None)
    assert ws.container != first
    assert world.engine.container(ws.container).running
    world.request(first, "after.test")
    assert [one.host for one in ws.network.requests(phase="test")] == ["before.test", "after.test"]
    # The proxy was told nothing, so policy and stubs are those of before.
    assert len(world.registered) == registered
    ws.restore(snap)
    assert path.read_text() == "kept"


def test_changes_since_a_snapshot(session):
    """
    In the workspace that it was made of, and after it was restored; `start` is still the start.
    """
    ws = started(session)
    ws.path("/first").write_text("1")
    ws.path("/both").write_text("1")
    one = ws.snapshot()
    ws.path("/both").write_text("2")
    ws.path("/second").write_text("2")
    two = ws.snapshot()
    assert changes(ws.diff(since=one)) == {"/both": "changed", "/second": "added"}
    assert changes(ws.diff(since=two)) == {}

    ws.restore(one)

    assert changes(ws.diff(since=one)) == {}
    assert changes(ws.diff(since=two)) == {"/both": "changed", "/second": "removed"}
    assert changes(ws.diff(since="start")) == {"/both": "added", "/first": "added"}
    ws.path("/third").write_text("3")
    assert changes(ws.diff(since=one)) == {"/third": "added"}
    assert ws.snapshot().since == one.since == 5


def test_workspaces_of_a_snapshot(session, world):
    """
    Each has files of its own, no script runs, and its start is the snapshot.
    """
    ws = started(session)
    ws.path("/state").write_text("prepared")
    snap = ws.snapshot()
    session.stop(ws)
    world.trace.clear()

    spec = session.spec(snapshot(), {"OWN": "1"}, policy=session.read_policy("offline"))
    one, two = (session.workspace(spec, snap) for _ in range(2))

    one.path("/state").write_text("changed")
    assert two.path("/state").read_text() == "prepared"
    assert world.trace == []
    assert (one.setup.cache, one.setup.output) == ("hit", ws.setup.output)
    assert (one.head, one.env["OWN"]) == (ws.head, "1")
    assert world.registered[-1][:2] == ("test", "offline")
    assert changes(one.diff(since="start")) == {"/state": "changed"}
    assert changes(two.diff(since=snap)) == {}
    # They go back to the same image, so a state of one can be that of the other.
    two.restore(one.snapshot())
    assert two.path("/state").read_text() == "changed"


def test_a_snapshot_of_something_else_is_refused(session):
    """
    A workspace cannot become another repository's, but there can be one of the snapshot.
    """
    ws, other = started(session), started(session, "clean")

    for use in (ws.restore, lambda snap: ws.diff(since=snap)):
        with pytest.raises(
            SnapshotError, match=r"goes back to another image .*\(snapshot=\.\.\.\)"
        ):
            use(other.snapshot())


def test_a_workspace_whose_image_does_not_start_has_ended(session, world):
    """
    It says so, and nothing is left of it.
    """
    ws = started(session)
    snap = ws.snapshot()
    world.engine.damage_image(snap.image)

    with pytest.raises(EngineError, match="overlay mount"):
        ws.restore(snap)

    with pytest.raises(WorkspaceLost):
        ws.path("/x").write_text("1")
    session.stop(ws)
    session.launcher.wait_for_cleanup()
    wanted = {labels.KIND: "workspace"}
    assert world.engine.containers(wanted) == []


def test_a_workspace_survives_an_engine_that_creates_nothing(session, world, monkeypatch):
    """
    Its processes have ended, its files are there.
    """
    ws = started(session)
    snap = ws.snapshot()
    ws.path("/state").write_text("still there")

    def full(spec):
        raise EngineError("no space left on device")

    monkeypatch.setattr(world.engine, "create", full)
    with pytest.raises(EngineError, match="no space left"):
        ws.restore(snap)

    assert ws.path("/state").read_text() == "still there"


def test_services_are_started_again(world):
    """
    Those that ran.
    """
    service = ServiceSpec("redis", "redis-server", ReadyWhen(output="ready"))
    world.services = {"redis-server": None}
    with world.session(services=(service,)) as session:
        ws = started(session)
        snap = ws.snapshot()
        world.trace.clear()

        ws.restore(snap)

        assert world.trace == ["service:redis-server"]
        assert ws.services["redis"].running


def test_the_end_of_the_session_removes_snapshots(world):
    """
    Also those of a workspace that has been restored, and that are based on each other.
    """
    with world.session() as session:
        ws = started(session)
        first = ws.snapshot()
        ws.restore(first)
        ws.snapshot()
        assert world.layers() == ["clean", "ready", "setup", "temporary", "temporary"]

    assert world.layers() == ["clean", "ready", "setup"]
    assert world.leftovers() == []
