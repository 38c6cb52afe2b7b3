"""Tests of the state machine that starts workspaces: every state, cache mode and accident."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_codex_workspace.codex import IMAGE, RESUME, SETUP
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import (
    CacheMiss,
    CodexWorkspaceError,
    EngineError,
    SecretError,
    ServiceError,
    SetupError,
    SnapshotError,
    WorkspaceLost,
)
from pytest_codex_workspace.host.dirs import cache_dir
from pytest_codex_workspace.options.script_text import ScriptText
from pytest_codex_workspace.options.services import ReadyWhen, ServiceSpec
from pytest_codex_workspace.snapshots.snapshot import Snapshot
from pytest_codex_workspace.unpatched import clock

from ...helpers.fake_workspaces import BASE, HISTORY, StubProjection, World, snapshot

# A few seconds for all states, modes and conditions: `make unit` leaves them out.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cache_home", "_projection")]

PASTED = ScriptText("s.sh", b"make\n")
NO_SCRIPTS = {"scripts_tree": None, "has_setup": False, "has_resume": False}

TOP = {"ready": "ready", "hit": "ready", "setup": "setup", "miss": "clean", "clean": "clean"}
"""The kind of layer that each state starts from."""

SHORT = {
    "+clean": "base>clean",
    "+setup": "setup.sh clean>setup",
    "+ready": "resume.sh setup>ready",
    "~clean": "base>temporary",
    "~setup": "setup.sh temporary>temporary",
    "~ready": "resume.sh temporary>temporary",
}
"""Words of the tables: a layer that is built for the cache, or without it."""

NO_CACHE = """
ready auto,refresh      | +clean +setup +ready | miss      | clean ready setup
hit auto,refresh        | +clean +setup +ready | hit       | clean ready setup
setup auto,refresh      | +clean +setup        | miss      | clean setup
miss on                 | +clean setup.sh      | miss      | clean
clean on                | +clean               | none      | clean
ready,hit off           | ~clean ~setup ~ready | off       |
setup off               | ~clean ~setup        | off       |
miss off                | ~clean setup.sh      | miss      |
clean off               | ~clean               | none      |
ready,hit,setup require |                      | CacheMiss |
"""
"""
Nothing is cached. The columns: states and cache modes, `on` being every mode but `off`; what was
done, in the words of `SHORT` and `World`; what `setup.cache` says, or the error; the layers that
are left on the engine.
"""

WARM = """
ready,hit auto,require |                      | hit  | clean ready setup
setup auto,require     |                      | hit  | clean ready setup
ready refresh          | +setup +ready        | miss | clean ready ready setup
hit refresh            | +setup +ready        | hit  | clean ready ready setup
setup refresh          | +setup               | miss | clean ready setup
miss on                | setup.sh             | miss | clean ready setup
clean on               |                      | none | clean ready setup
ready,hit off          | ~clean ~setup ~ready | off  | clean ready setup
setup off              | ~clean ~setup        | off  | clean ready setup
miss off               | ~clean setup.sh      | miss | clean ready setup
clean off              | ~clean               | none | clean ready setup
"""
"""An earlier session has made all layers. `off` does not touch them."""

GONE = """
ready,hit auto,require | ?ready +ready               | hit       | clean ready setup
setup auto             | ?setup +setup               | miss      | clean setup
setup require          | ?setup                      | CacheMiss | clean
ready refresh          | +setup +ready ?ready +ready | miss      | clean ready setup
hit refresh            | +setup +ready ?ready +ready | hit       | clean ready setup
setup refresh          | +setup ?setup +setup        | miss      | clean setup
miss on                | ?clean +clean setup.sh      | miss      | clean
clean on               | ?clean +clean               | none      | clean
ready,hit off          | ~clean ~setup ~ready        | off       | clean ready setup
setup off              | ~clean ~setup               | off       | clean ready setup
miss off               | ~clean setup.sh             | miss      | clean ready setup
clean off              | ~clean                      | none      | clean ready setup
"""
"""The topmost layer, and what stands on it, is removed between look-up and start."""

BROKEN = """
ready,hit auto,require | -ready +ready          | hit       | clean ready setup
setup auto             | -setup +setup          | miss      | clean ready setup
setup require          | -setup                 | CacheMiss | clean ready setup setup
ready refresh          | +setup +ready          | miss      | clean ready ready setup
hit refresh            | +setup +ready          | hit       | clean ready ready setup
setup refresh          | +setup                 | miss      | clean ready setup
miss on                | -clean +clean setup.sh | miss      | clean ready setup
clean on               | -clean +clean          | none      | clean ready setup
ready,hit off          | ~clean ~setup ~ready   | off       | clean ready setup
setup off              | ~clean ~setup          | off       | clean ready setup setup
miss off               | ~clean setup.sh        | miss      | clean ready setup
clean off              | ~clean                 | none      | clean ready setup
"""
"""No container comes up from the topmost layer. (The damaged image stands beside the good one.)"""

BUSY = """
ready,hit,setup on | wait clean>setup +ready                 | hit  | clean ready setup
miss on            | setup.sh clean>setup +ready             | miss | clean ready setup
clean on           | clean>setup +ready                      | none | clean ready setup
ready,hit off      | ~clean ~setup ~ready clean>setup +ready | off  | clean ready setup
setup off          | ~clean ~setup clean>setup +ready        | off  | clean ready setup
miss off           | ~clean setup.sh clean>setup +ready      | miss | clean ready setup
clean off          | ~clean clean>setup +ready               | none | clean ready setup
"""
"""
Another session is running `setup-script.sh`, and goes on when this one waits for it or has
ended. Setup runs once for both, except for those that do not use the cache.
"""


@dataclass(frozen=True)
class Expected:
    """
    One cell of a table.
    """

    trace: str
    cache: str
    left: str


def cells(table: str) -> list:
    """
    Return a parameter for each state and cache mode of a table.
    """
    found = []
    for row in table.strip().splitlines():
        where, trace, cache, left = (" ".join(cell.split()) for cell in row.split("|"))
        trace = " ".join(SHORT.get(word, word) for word in trace.split())
        states, modes = where.split()
        for state in states.split(","):
            for mode in modes.replace("on", "auto,refresh,require").split(","):
                expected = Expected(trace, cache, left)
                found.append(pytest.param(state, mode, expected, id=f"{state}-{mode}"))
    return found


@pytest.fixture
def _projection(monkeypatch):
    """
    Projections without git.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.Projection", StubProjection)
    monkeypatch.setattr("pytest_codex_workspace.session.describe_history", lambda *_: "")


@pytest.fixture
def world():
    """
    An engine on which nothing is cached; at the end nothing but layers is left on it.
    """
    found = World().prepared()
    yield found
    assert [] == found.leftovers()


@pytest.fixture
def warm(world):
    """
    An engine on which an earlier session has made all layers.
    """
    with world.session() as session:
        bring_up(session, "ready")
    world.trace.clear()
    return world


def bring_up(session, state="ready", **changes):
    """
    Start a workspace of a commit that differs in *changes* from the default.
    """
    return session.workspace(session.spec(snapshot(**changes), {}), state)


def observe(world, state, mode, **options):
    """
    Start a workspace in a session of its own, check its files, and return what happened.
    """
    history = {
        "ready": "project aaaa\nsetup\nresume\n",
        "hit": "project aaaa\nsetup\nresume\n",
        "setup": "project aaaa\nsetup\n",
        "miss": "project aaaa\nsetup\n",
        "clean": "project aaaa\n",
    }
    with world.session(mode, **options) as session:
        try:
            ws = bring_up(session, state)
        except CodexWorkspaceError as error:
            cache = type(error).__name__
        else:
            cache = ws.setup.cache
            assert history[state] == ws.path(HISTORY).read_text()
            started_from = world.engine.container(ws.container).image
            assert ("temporary" if mode == "off" else TOP[state]) == world.kind_of(started_from)
            session.stop(ws)
    return Expected(" ".join(world.trace), cache, " ".join(world.layers()))


def remove_once(world, kind):
    """
    Let somebody remove the layers of a kind just before a container is created of one.
    """

    def interfere(image):
        if image.labels.get(labels.KIND) == kind:
            world.before_create = None
            world.remove(kind)

    world.before_create = interfere


@pytest.mark.parametrize(("state", "mode", "expected"), cells(NO_CACHE))
def test_without_a_cache(world, state, mode, expected):
    """
    Each missing layer is built, the lowest first, and no more than the state needs.
    """
    assert expected == observe(world, state, mode)


@pytest.mark.parametrize(("state", "mode", "expected"), cells(WARM))
def test_with_a_warm_cache(warm, state, mode, expected):
    """
    What is cached is used, unless the state or the mode says otherwise.
    """
    assert expected == observe(warm, state, mode, started=clock.wall_time() + 1)


@pytest.mark.parametrize(("state", "mode", "expected"), cells(GONE))
def test_a_layer_that_goes_between_look_up_and_start(warm, state, mode, expected):
    """
    The layer is built again, and the workspace starts.
    """
    remove_once(warm, TOP[state])

    assert expected == observe(
        warm, state, mode, started=clock.wall_time() + 1 - (mode == "refresh")
    )


@pytest.mark.parametrize(("state", "mode", "expected"), cells(BROKEN))
def test_a_broken_layer(warm, state, mode, expected):
    """
    A layer from which no container comes up is built again beside the broken one.
    """
    warm.break_agent(TOP[state])

    assert expected == observe(warm, state, mode, started=clock.wall_time() + 1)


@pytest.mark.parametrize(("state", "mode", "expected"), cells(BUSY))
def test_another_session_is_running_setup(world, state, mode, expected):
    """
    Who needs its result waits for it; who does not goes on.
    """
    started = clock.wall_time()
    script = world.scripts[SETUP]
    script.wait = threading.Event()
    go_on = script.wait.set
    waited = []
    world.on_wait = lambda: (waited.append("wait"), go_on())
    other = threading.Thread(target=bring_up_alone, args=(world,))
    other.start()
    assert script.running.wait(20)
    world.trace.clear()

    found = observe(world, state, mode, started=started)
    go_on()
    other.join(20)

    trace = " ".join([*waited[:1], *world.trace])
    assert expected == Expected(trace, found.cache, " ".join(world.layers()))


def bring_up_alone(world):
    with world.session() as session:
        bring_up(session)


READY = ReadyWhen(output="ready")
DB = ServiceSpec("db", ("db",), READY, repository=Path("/r"))
WEB = ServiceSpec("web", ("web",), READY, repository=Path("/r"), after=("db",))
OTHER = ServiceSpec("other", ("other",), READY, repository=Path("/elsewhere"))


def test_services_run_where_both_scripts_have_run(warm):
    """
    In the order of their list, and only those of the repository itself. The layers are the same,
    and none is built with a service running in it.
    """
    warm.services = {"db": None, "web": None}
    with warm.session(services=(DB, OTHER, WEB)) as session:
        for state in ("ready", "hit", "miss", "setup", "clean"):
            ws = bring_up(session, state)
            names = ["db", "web"] if state in ("ready", "hit", "miss") else []
            assert names == list(ws.services)
            assert all(one.running for one in ws.services.values())
            session.stop(ws)

        both = "service:db service:web"
        assert f"{both} {both} setup.sh {both}" == " ".join(warm.trace)
        without = session.workspace(session.spec(snapshot(scripts_tree=None), {}), "ready")
        assert ["db", "web"] == list(without.services)
        assert "none" == without.setup.cache


def test_a_failed_service_ends_its_workspace_and_is_remembered(warm):
    """
    The next test gets the same error at once. A workspace with another environment tries again.
    """
    warm.services = {"db": 3, "web": None}
    with warm.session(services=(DB, WEB)) as session:
        for _ in range(2):
            with pytest.raises(ServiceError, match="the service db ended with exit code 3"):
                bring_up(session)
        assert ["service:db"] == warm.trace
        assert [] == session.running()

        warm.services["db"] = None
        spec = session.spec(snapshot(), {"A": "1"})
        assert session.workspace(spec, "clean").services == {}
        assert 2 == len(session.workspace(spec, "ready").services)


def test_servers_that_setup_left_are_told_and_kept(world):
    """
    A warning follows the script. A later run, which uses the cached setup, knows them too.
    """
    world.daemons = [
        {"argv": ["/usr/bin/redis-server", "*:6379"], "at": [6379]},
        {"argv": ["db"], "at": [5]},
        {"argv": ["sleep", "9"], "at": []},
    ]
    world.services = {"db": None}
    for cache in ("miss", "hit"):
        with world.session(services=(DB,)) as session:
            setup = bring_up(session).setup
        assert cache == setup.cache
        assert ["redis-server", "db", "sleep"] == [one.name for one in setup.daemons]
        assert [(6379,)] == [one.ports for one in setup.missing]

    told = [line for line in world.shown if " left " in line]
    assert 2 == len(told)
    assert f"codex: warning: {SETUP} left redis-server (port 6379) running: as in Codex" in told[0]
    assert f"codex: warning: {RESUME} left redis-server (port 6379) running: whether" in told[1]


def test_every_state_and_mode_is_in_every_table():
    """
    A table without a row would test nothing of it.
    """
    every = {f"{state}-{mode}" for state in TOP for mode in ("auto", "refresh", "off", "require")}

    for table in (NO_CACHE, WARM, GONE, BROKEN, BUSY):
        assert sorted(every) == sorted(cell.id for cell in cells(table))


@pytest.mark.parametrize(
    ("kind", "trace", "cache"),
    [
        ("clean", "{} base>clean setup.sh clean>setup resume.sh setup>ready", "miss"),
        ("setup", "{} setup.sh clean>setup resume.sh setup>ready", "miss"),
        ("ready", "{} resume.sh setup>ready", "hit"),
    ],
)
@pytest.mark.parametrize("accident", ["gone", "no agent", "damaged"])
def test_an_accident_to_a_layer_on_the_way(warm, kind, trace, cache, accident):
    """
    Whichever layer it happens to, this layer and those above it are built again.
    """
    above = {"clean": "setup", "setup": "ready"}.get(kind)
    if above:
        warm.remove(above)
    if accident == "gone":
        remove_once(warm, kind)
    elif accident == "no agent":
        warm.break_agent(kind)
    else:
        warm.engine.damage_image(warm.newest(kind).id)

    found = observe(warm, "ready", "auto")

    if accident != "gone":
        # The layer was looked up, and a setup layer was used for the ready one.
        assert any(f"cached {kind}-" in line and "is broken" in line for line in warm.shown)
    mark = f"?{kind}" if accident == "gone" else f"-{kind}"
    assert (trace.format(mark), cache) == (found.trace, found.cache)


def test_every_layer_is_broken(warm):
    """
    One attempt for each layer, and one that succeeds; the next session finds all of them good.
    """
    for kind in ("clean", "setup", "ready"):
        warm.engine.damage_image(warm.newest(kind).id)

    # The damaged setup image is found before the clean one is.
    found = observe(warm, "ready", "auto")
    warm.trace.clear()
    again = observe(warm, "ready", "auto")

    assert (
        "-ready -setup -clean base>clean setup.sh clean>setup resume.sh setup>ready",
        "miss",
    ) == (found.trace, found.cache)
    assert ("", "hit") == (again.trace, again.cache)


def test_a_base_image_without_an_agent(world):
    """
    A layer that no recipe makes cannot be built again: the error is the user's.
    """
    container = world.engine.create(world.spec_of(BASE))
    world.engine.put_archive(container, "/", world.no_agent())
    world.engine.commit(container, tag=BASE, labels={})
    world.engine.remove(container)
    world.trace.clear()

    with world.session() as session, pytest.raises(WorkspaceLost):
        bring_up(session)

    assert ["-base"] == world.trace
    assert [] == world.layers()


def test_a_layer_that_is_always_removed(warm):
    """
    Attempts end with the engine's error.
    """
    warm.before_create = lambda image: warm.remove("ready") if is_ready(image) else None

    with warm.session() as session, pytest.raises(EngineError, match="No such image"):
        bring_up(session)

    assert 4 == warm.trace.count("?ready")


def is_ready(image):
    return image.labels.get(labels.KIND) == "ready"


def test_a_rebuilt_layer_that_is_broken_again(warm):
    """
    Attempts end with the error of the last one.
    """

    def interfere(image):
        if image.labels.get(labels.KIND) == "ready":
            warm.engine.damage_image(image.id)

    warm.before_create = interfere

    with warm.session() as session, pytest.raises(EngineError, match="overlay mount"):
        bring_up(session)

    assert 4 == warm.trace.count("-ready")


@pytest.mark.parametrize("mode", ["auto", "refresh", "off"])
@pytest.mark.parametrize(("script", "runs"), [(SETUP, "setup.sh"), (RESUME, "resume.sh")])
def test_a_failed_script_is_remembered_for_the_session(world, mode, script, runs):
    """
    The next test gets the same error at once, and the next session tries again.
    """
    world.scripts[script].code = 3
    with world.session(mode) as session:
        with pytest.raises(SetupError) as first:
            bring_up(session)
        ran = world.trace.count(runs)
        with pytest.raises(SetupError) as second:
            bring_up(session)
        if mode != "off" or script == SETUP:
            assert ran == world.trace.count(runs) == 1
            assert first.value is second.value
        session.isolation.wait_for_cleanup()
        assert world.layers() in (["clean"], ["clean", "setup"], ["temporary"])
    assert (3, f"{script}") == (first.value.exit_code, first.value.script)

    world.scripts[script].code = 0
    with world.session(mode) as session:
        bring_up(session)


@pytest.mark.parametrize("mode", ["auto", "refresh", "off"])
def test_what_is_made_ahead_is_made_once(world, mode):
    """
    The first workspace reports that its setup ran, and the next one that it was cached.
    """
    with world.session(mode) as session:
        spec = session.spec(snapshot(), {})
        session.prepare(spec)
        ahead = world.trace.count("setup.sh")
        first, second = bring_up(session), bring_up(session)

    assert ahead == (0 if mode == "off" else 1)
    if mode != "off":
        assert world.trace.count("setup.sh") == 1
        assert ("miss", "hit") == (first.setup.cache, second.setup.cache)
    else:
        assert ("off", "off") == (first.setup.cache, second.setup.cache)


def test_a_failed_setup_leaves_the_cache_as_it_was(warm):
    """
    With `refresh`, the old layers stay, and serve the next session.
    """
    warm.scripts[SETUP].code = 1
    before = warm.newest("setup").id
    with (
        warm.session("refresh", started=clock.wall_time() + 1) as session,
        pytest.raises(SetupError),
    ):
        bring_up(session)

    assert before == warm.newest("setup").id
    assert "hit" == observe(warm, "ready", "auto").cache


def test_a_failed_cache_miss_runs_for_each_test(world):
    """
    Such a test asks for the script to run, whatever happened before.
    """
    world.scripts[SETUP].code = 1
    with world.session() as session:
        for _ in range(2):
            with pytest.raises(SetupError):
                bring_up(session, "miss")
        session.isolation.wait_for_cleanup()
        assert [] == world.engine.containers({labels.KIND: "workspace"})

    assert ["base>clean", "setup.sh", "setup.sh"] == world.trace


def test_a_cache_miss_error_is_not_remembered(world):
    """
    With `require`, another process may build the layer in the meantime.
    """
    with world.session("require") as session:
        with pytest.raises(CacheMiss, match=r"--codex-cache=require.*Run once with"):
            bring_up(session)
        bring_up_alone(world)

        assert "hit" == bring_up(session).setup.cache


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_an_old_setup_is_not_used(warm, monkeypatch, mode):
    """
    After 12 hours setup runs again, or is missing.
    """
    now = clock.wall_time()
    monkeypatch.setattr(clock, "wall_time", lambda: now + 12 * 3600 + 1)

    found = observe(warm, "ready", mode)

    if mode == "require":
        assert ("", "CacheMiss") == (found.trace, found.cache)
    else:
        assert "setup.sh clean>setup resume.sh setup>ready" == found.trace
        assert ("miss", "clean ready setup") == (found.cache, found.left)


def test_setup_runs_once_in_a_session(world):
    """
    The first workspace is a miss, the next are hits, whatever state they are in.
    """
    with world.session() as session:
        caches = [bring_up(session, state).setup.cache for state in ("ready", "ready", "setup")]

    assert ["miss", "hit", "hit"] == caches
    assert 1 == world.trace.count("setup.sh")


def test_two_threads_of_one_session(world):
    """
    Starts wait for each other, and share the layers.
    """
    found = []
    with world.session() as session:
        threads = [
            threading.Thread(target=lambda: found.append(bring_up(session).setup.cache))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert ["hit", "hit", "miss"] == sorted(found)
    assert 1 == world.trace.count("setup.sh")


def test_a_workspace_stops_while_another_starts(world):
    """
    Stopping does not wait for a start that takes minutes, and takes nothing from it.
    """
    with world.session("off") as session:
        first = bring_up(session)
        script = world.scripts[SETUP]
        script.running.clear()
        script.wait = gate = threading.Event()
        found = []
        thread = threading.Thread(target=lambda: found.append(bring_up(session)))
        thread.start()
        assert script.running.wait(20)

        session.stop(first)
        session.isolation.wait_for_cleanup()
        assert ["temporary"] == world.layers()
        gate.set()
        thread.join(20)

        assert "project aaaa\nsetup\nresume\n" == found[0].path(HISTORY).read_text()
    assert [] == world.layers()


def test_layers_without_a_cache_end_with_their_workspace(world):
    """
    With `off`, only the clean layer outlives a workspace, until the session ends.
    """
    with world.session("off") as session:
        ws = bring_up(session)
        assert ["temporary", "temporary", "temporary"] == world.layers()
        session.stop(ws)
        session.isolation.wait_for_cleanup()
        assert ["temporary"] == world.layers()
    assert [] == world.layers()


def test_layers_without_a_cache_end_with_a_failed_start(world):
    """
    With `off`, a setup whose resumption fails is not kept until the session ends, however long an
    engine takes to remove the container that uses it.
    """
    world.scripts[RESUME].code = 1
    world.removal_time = 0.3
    with world.session("off") as session:
        with pytest.raises(SetupError):
            bring_up(session)
        session.isolation.wait_for_cleanup()
        assert ["temporary"] == world.layers()


def test_one_session_ends_while_another_lives(world):
    """
    A session removes its own containers, networks and temporary layers, and no others.
    """
    with world.session("off") as first:
        ws = bring_up(first)
        with world.session("off") as second:
            bring_up(second)
        assert 3 == world.layers().count("temporary")
        assert "project aaaa\nsetup\nresume\n" == ws.path(HISTORY).read_text()


def test_the_holder_of_a_lock_is_killed(world):
    """
    The system frees the lock of a process that dies, and this session builds the layer.
    """
    with world.session() as session:
        spec = session.spec(snapshot(), {})
        session.isolation.revive()
        lock = cache_dir() / "locks" / f"setup-{session.builder.setup_key(spec)}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        program = (
            "import sys; from filelock import FileLock; "
            "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); "
            "sys.stdin.read()"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", program, str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with holder:
            assert b"held\n" == holder.stdout.readline()
            world.on_wait = holder.kill

            ws = session.workspace(spec, "ready")

    assert "miss" == ws.setup.cache
    assert -9 == holder.returncode


def test_the_engine_refuses_a_commit(world):
    """
    An error that has nothing to do with a layer is raised at once, and is not remembered.
    """

    def refuse(call):
        if call == "before commit" and "setup.sh" in world.trace:
            world.on_call = None
            raise EngineError("the disk is full")

    with world.session() as session:
        world.on_call = refuse
        with pytest.raises(EngineError, match="the disk is full"):
            bring_up(session)
        assert ["base>clean", "setup.sh"] == world.trace

        assert "miss" == bring_up(session).setup.cache


@pytest.mark.parametrize("mode", ["auto", "off"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, EngineError])
def test_an_interruption_at_any_call_leaves_nothing(mode, error):
    """
    Before or after whichever change on the engine it comes: no container, network or temporary
    layer is left, each tag means a complete layer, and the next session works.
    """
    number, done = 0, False
    while not done:
        world, number, done = World().prepared(), number + 1, True
        calls = []

        def interrupt(call, calls=calls, world=world, number=number):
            calls.append(call)
            if len(calls) == number:
                world.on_call = None
                raise error("now")

        try:
            with world.session(mode) as session:
                _ = session.image
                world.on_call = interrupt
                bring_up(session)
                world.on_call = None
        except error:
            done = False
        assert [] == world.leftovers(), (number, calls)
        assert "temporary" not in world.layers(), (number, calls)
        found = observe(world, "ready", "auto")
        assert found.cache in ("miss", "hit"), (number, calls)
        assert "clean ready setup" == found.left, (number, calls)
    assert number > 30


def test_another_commit_with_the_same_scripts(warm):
    """
    Setup is used for it; the ready layer is brought to the new commit. `setup` stays at the old.
    """
    with warm.session() as session:
        ready = bring_up(session, head="b" * 40)
        setup = bring_up(session, "setup", head="b" * 40)

        assert "project aaaa\nsetup\nresume\n" != ready.path(HISTORY).read_text()
        assert "project aaaa\nsetup\nproject bbbb\nresume\n" == ready.path(HISTORY).read_text()
        assert ("hit", "b" * 40) == (ready.setup.cache, ready.head)
        assert ("hit", "a" * 40) == (setup.setup.cache, setup.head)
    assert ["resume.sh", "setup>ready"] == warm.trace


def test_without_a_resume_script(world):
    """
    The setup layer is what tests start from; another commit needs a layer of its own.
    """
    with world.session() as session:
        same = bring_up(session, has_resume=False)
        other = bring_up(session, has_resume=False, head="b" * 40)

        assert "setup" == world.kind_of(world.engine.container(same.container).image)
        assert "ready" == world.kind_of(world.engine.container(other.container).image)
        assert "setup\n" == same.setup.log_path.read_text()
    assert ["base>clean", "setup.sh", "clean>setup", "setup>ready"] == world.trace


def test_a_setup_of_another_machine_is_resumed_even_without_a_script(world):
    """
    A layer that trusts another authority gets this machine's certificate once, in a layer.
    """
    with world.session() as session:
        bring_up(session, has_resume=False)
    tag = next(tag for tag in world.newest("setup").tags if ":setup-" in tag)
    container = world.engine.create(world.spec_of(tag))
    world.engine.commit(container, tag=tag, labels={labels.CA: "another"})
    world.engine.remove(container)
    world.trace.clear()

    with world.session() as session:
        bring_up(session, has_resume=False)
        bring_up(session, has_resume=False)

    assert ["setup>ready"] == world.trace


@pytest.mark.parametrize("state", TOP)
def test_a_repository_without_scripts(world, state):
    """
    There is nothing to set up, in any state.
    """
    with world.session() as session:
        ws = bring_up(session, state, scripts_tree=None, has_setup=False, has_resume=False)

        assert ("none", None) == (ws.setup.cache, ws.setup.key)
    assert ["base>clean"] == world.trace


@pytest.mark.parametrize("state", ["ready", "hit", "miss", "setup"])
def test_a_directory_without_a_setup_script(world, state):
    """
    The folder must have the script: the error says so before anything is built.
    """
    with world.session() as session, pytest.raises(SetupError, match=r"no setup-script\.sh in it"):
        bring_up(session, state, has_setup=False)

    assert [] == world.trace


@pytest.mark.parametrize(
    ("given", "repository", "ran"),
    [
        ({"setup_script": PASTED}, {}, ["setup.sh"]),
        ({"setup_script": PASTED, "maintenance_script": PASTED}, {}, ["setup.sh", "resume.sh"]),
        ({"setup_script": PASTED}, NO_SCRIPTS, ["setup.sh"]),
        ({"maintenance_script": PASTED}, {"has_resume": False}, ["setup.sh", "resume.sh"]),
    ],
)
def test_given_scripts_run_in_place_of_the_repositorys(world, given, repository, ran):
    """
    A setup script takes the place of both files: Codex would read neither.
    """
    with world.session(**given) as session:
        ws = bring_up(session, **repository)

        assert "miss" == ws.setup.cache
    assert ran == [one for one in world.trace if one.endswith(".sh")]


def test_a_maintenance_script_needs_a_setup_script(world):
    """
    The error names the option that gives one.
    """
    with (
        world.session(maintenance_script=PASTED) as session,
        pytest.raises(SetupError, match=r"no setup script.*--codex-setup-script=PATH"),
    ):
        bring_up(session, **NO_SCRIPTS)

    assert [] == world.trace


def test_a_missing_secret(world):
    """
    It is reported before anything is made, and only for workspaces whose scripts need it.
    """
    with world.session(secret=("CODEX_TEST_ABSENT",)) as session:
        with pytest.raises(SecretError, match="CODEX_TEST_ABSENT is not set"):
            bring_up(session)
        assert "isolation" not in session.__dict__

        assert "none" == bring_up(session, "clean").setup.cache


@pytest.mark.parametrize(
    ("state", "mode", "setup", "log"),
    [
        ("ready", "auto", ["pypi.example"], ["resume npm.example"]),
        ("setup", "auto", ["pypi.example"], []),
        ("miss", "auto", ["pypi.example"], ["setup pypi.example"]),
        ("ready", "off", ["pypi.example"], ["setup pypi.example", "resume npm.example"]),
        ("clean", "auto", [], []),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_requests_of_scripts(world, state, mode, setup, log, again):
    """
    A hit reports what its setup requested once; the log begins where the workspace's life begins.
    """
    world.scripts[SETUP].requests = ("pypi.example",)
    world.scripts[RESUME].requests = ("npm.example",)
    if again:
        bring_up_alone(world)
    with world.session(mode) as session:
        ws = bring_up(session, state)

        assert setup == [request.host for request in ws.setup.requests]
        assert log == [f"{request.phase} {request.host}" for request in ws.network]
        session.stop(ws)
        assert log == [f"{request.phase} {request.host}" for request in ws.network]


def test_results_are_the_same_for_a_miss_and_a_hit(world):
    """
    Output, duration and key travel in the image.
    """
    with world.session() as session:
        miss = bring_up(session).setup
    with world.session() as session:
        hit = bring_up(session).setup

    assert ("miss", "hit") == (miss.cache, hit.cache)
    assert "setup\nresume\n" == miss.output == hit.output == hit.log_path.read_text()
    assert (miss.key, miss.duration) == (hit.key, hit.duration)
    assert world.newest("setup").labels[labels.KEY] == hit.key
    assert world.engine.image(f"{IMAGE}:setup-{hit.key}") is not None


def test_uses_are_counted_for_each_layer(warm):
    """
    A start counts once for each layer that the workspace stands on.
    """
    with warm.session() as session:
        usage = session.store._usage
        before = [usage.of(warm.newest(kind).id).hits for kind in ("clean", "setup", "ready")]
        bring_up(session)
        bring_up(session, "setup")
        bring_up(session, "clean")
        after = [usage.of(warm.newest(kind).id).hits for kind in ("clean", "setup", "ready")]

    assert [1, 2, 1] == [new - old for new, old in zip(after, before, strict=True)]


def test_a_snapshot_that_a_test_has_made_itself_is_refused(world):
    """
    It has none of what a session knows; the class is public for annotations.
    """
    with world.session() as session:
        kept = bring_up(session).snapshot()
        assert session.repository_of(kept).name == kept.repository == "demo"
        assert repr(kept).endswith(f"Snapshot(image={kept.image!r}, repository='demo')")
        with pytest.raises(SnapshotError, match=r"Snapshot\(image='sha256:1'.* is not a snapshot"):
            session.repository_of(Snapshot("sha256:1", "demo", "sha256:0"))
