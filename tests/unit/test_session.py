"""Tests of a session's life, on the fake engine."""

from __future__ import annotations

import json
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.codex import IMAGE, SETUP
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import (
    EngineError,
    EngineUnavailable,
    ImageBuildError,
    ProxyError,
    SecretError,
    SetupError,
    WorkspaceLost,
)
from pytest_codex_workspace.images.debian import DEBIAN
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.script_text import ScriptText
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.secrets.network import placeholder_of
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.snapshots.prepared import StateName

from ..conftest import commit, init_repo, scripts
from ..fakes.engine import FakeEngine
from ..helpers.fake_workspaces import BASE, HISTORY, LocalAgent, StubProjection, World, snapshot

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def world(monkeypatch):
    """
    An engine on which nothing is cached, and projections without git.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.Projection", StubProjection)
    return World()


def bring_up(session: Session, state="ready", *, label="", **changes):
    return session.workspace(session.spec(snapshot(**changes), {}), state, label=label)


@pytest.mark.slow
def test_a_real_repository_with_the_real_agent(tmp_path):
    """
    From a commit to a ready workspace with git, bash and the agent; then again from the cache.
    """
    setup = "pwd; git log --format=%s; seq 3 >made\n"
    resume = "cat made; git log -1 --format=%s >>resumed\n"
    repo = init_repo(tmp_path / "demo", {"a": "1", ".gitignore": "made\nresumed\n"})
    commit(repo, scripts(setup, resume), "second")
    (repo / "untracked").write_text("not committed")
    world = World(LocalAgent)
    with world.session() as session:
        spec = session.spec(session.repository(repo), {"GREETING": "hello"})
        ws = session.workspace(spec, "ready")

        assert ("miss", 0) == (ws.setup.cache, ws.setup.exit_code)
        where, second, first, *made = ws.setup.output.splitlines()
        assert where.endswith("/workspace/demo")
        assert ("second", True, ["1", "2", "3"]) == (second, first.startswith("first"), made)
        assert "second\n" == ws.exec(["cat", "resumed"]).stdout
        assert "hello\n" == ws.exec(["sh", "-c", "echo $GREETING"]).stdout
        assert "untracked" not in ws.exec(["ls"]).stdout.splitlines()
        session.stop(ws)
        with pytest.raises(WorkspaceLost):
            ws.exec("true")
    commit(repo, {"a": "2"}, "third")
    world.trace.clear()
    with world.session() as session:
        spec = session.spec(session.repository(repo), {"GREETING": "hello"})
        ws = session.workspace(spec, "hit")

        assert "hit" == ws.setup.cache
        assert "2" == ws.exec(["cat", "a"]).stdout
        assert "third\n" == ws.exec(["cat", "resumed"]).stdout
        assert "" == ws.exec(["git", "status", "--porcelain"]).stdout
    assert ["setup>ready"] == world.trace
    assert [] == world.leftovers()


@pytest.mark.slow
def test_the_sync_of_codex_with_the_real_agent(tmp_path):
    """
    The repository's scripts are texts, which are stored outside of it; another maintenance script
    may be given. What setup changed stays, and git refuses a commit that changes it, too.
    """
    repo = init_repo(tmp_path / "demo", {"a": "1"})
    commit(repo, scripts('echo "$0"; echo 2 >a\n', "exit 3\n"), "second")
    given = ScriptText("m.sh", b'echo "$0"; git log -1 --format=%s\n')
    world = World(LocalAgent)
    with world.session(profile="codex", maintenance_script=given) as session:
        ws = session.workspace(session.spec(session.repository(repo), {}), "ready")
        assert "2\n" == ws.exec(["cat", "a"]).stdout
        setup, maintenance, subject = ws.setup.output.splitlines()
    assert re.search("/tmp/[0-9a-f]{6}-setup_script.sh$", setup)
    assert re.search("/tmp/[0-9a-f]{6}-maintenance_script.sh$", maintenance)
    assert "second" == subject

    commit(repo, {"a": "3"}, "third")
    with world.session(profile="codex", maintenance_script=given) as session:
        spec = session.spec(session.repository(repo), {})
        with pytest.raises(SetupError, match=r"refuses to switch to the commit .* too: a"):
            session.workspace(spec, "ready")

        commit(repo, scripts("rm -r .git\n"), "fourth")
        spec = session.spec(session.repository(repo), {})
        with pytest.raises(SetupError, match=r"there is no \.git/HEAD any more"):
            session.workspace(spec, "ready")
    assert [] == world.leftovers()


@pytest.mark.slow
def test_phases_of_a_workspace_with_the_real_agent(tmp_path, monkeypatch):
    """
    Each phase has its policy, variables and secrets. The phase before is back after its block, with
    its own policy, also after an error. A process ends with its phase.
    """
    monkeypatch.setenv("CODEX_TEST_TOKEN", "geheim-7")
    repo = init_repo(tmp_path / "demo", {"a": "1"})
    world = World(LocalAgent)
    show = 'echo "$CODEX_CI/$CODEX_HOME/${#CODEX_THREAD_ID}/$CODEX_TEST_TOKEN/${#CODEX_TEST_TOKEN}"'
    options = {"network": "offline", "network_setup": "codex-setup", "profile": "codex"}
    with world.session(secret=("CODEX_TEST_TOKEN",), **options) as session:
        spec = session.spec(session.repository(repo), {"CODEX_HOME": "/mine"})
        ws = session.workspace(spec, "clean")
        world.registered.clear()

        assert "1//mine/36//0\n" == ws.exec(show).stdout
        assert ("1", "/mine") == (ws.env["CODEX_CI"], ws.env["CODEX_HOME"])
        ws.network.use("open")
        with suppress(KeyError), ws.phase("setup") as same:
            assert same is ws
            assert "//mine/0/***/8\n" == ws.exec(show).stdout
            assert not {"CODEX_CI", "CODEX_TEST_TOKEN"} & set(ws.env)
            process = ws.start(["sh", "-c", "echo $CODEX_TEST_TOKEN; exec sleep 600"])
            program = "import os; print(os.environ['CODEX_TEST_TOKEN'])"
            assert "***\n" == ws.exec([sys.executable, "-c", program]).stdout
            with ws.phase("resume"):
                assert process.wait(20).exit_code == 128 + 9
                ws.network.use("offline")
            raise KeyError
        assert "***\n" == process.wait().stdout
        assert "1//mine/36//0\n" == ws.exec(show).stdout
        with pytest.raises(ValueError, match=r"no phase 'tests' .did you mean 'test'"):
            ws.phase("tests").__enter__()
        assert "geheim" not in str([*ws.commands])
    assert [
        *(("test", "open"), ("setup", "codex-setup"), ("resume", "codex-setup")),
        *(("resume", "offline"), ("setup", "codex-setup"), ("test", "open")),
    ] == [(phase, policy) for phase, policy, _ in world.registered]
    assert [] == world.leftovers()


@pytest.mark.parametrize(
    ("found", "complete", "notes"),
    [
        ([], "true", []),
        ([["T", "content", "/root/.npmrc"]], "true", ["setup-script.sh", "from-cache-script.sh"]),
        ([], "false", ["not known", "not known"]),
    ],
)
def test_secrets_that_a_script_leaves_on_the_disk(world, monkeypatch, found, complete, notes):
    """
    Each script that has them is searched after, once: not when its layer is used again.
    """
    monkeypatch.setenv("T", "geheim-7")
    world.found_secrets = f'{{"found": {json.dumps(found)}, "complete": {complete}}}'.encode()
    with world.session(secret=("T",)) as session:
        bring_up(session)
        bring_up(session)

    shown = [line for line in world.shown if "secrets on the disk" in line]
    assert len(notes) == len(shown)
    assert all(word in line for word, line in zip(notes, shown, strict=True))
    assert all("T in /root/.npmrc; let the script" in line for line in shown if found)


@pytest.mark.parametrize("last", [1, 2])
def test_a_phase_that_cannot_begin_ends_the_workspace(world, monkeypatch, last):
    """
    Otherwise, the next command would have the network policy and the secrets of another phase.
    """
    with world.session() as session:
        ws = bring_up(session)
        proxy, calls = session.isolation.proxy, []
        change = proxy.policy

        def policy(*arguments, **more):
            calls.append(more["phase"])
            if len(calls) == last:
                raise ProxyError("it is overloaded")
            change(*arguments, **more)

        monkeypatch.setattr(proxy, "policy", policy)
        with pytest.raises(ProxyError, match="it is overloaded"), ws.phase("setup"):
            assert last == 2
        assert ["setup", "test"][:last] == calls
        with pytest.raises(WorkspaceLost):
            ws.exec("true")
    assert [] == world.leftovers()


def test_network_secrets(world, monkeypatch):
    """
    The proxy gets the value, and workspaces the placeholder, of which the key depends.
    """
    monkeypatch.setenv("T", "geheim-7")
    # The repository of the fake workspaces has no files to read.
    monkeypatch.setattr("pytest_codex_workspace.session.as_in_settings", lambda given, *_: given)
    keys = []
    for hosts in ({}, {"T": ("api.test",)}):
        with world.session(network_secret=hosts, profile="current") as session:
            ws = bring_up(session)
            keys.append(ws.setup.key)
    assert ws.env["T"] == placeholder_of("T")
    assert keys[0] != keys[1]
    settings = [one.settings for one in world.proxies]
    assert [[], ["geheim-7"]] == [[one["value"] for one in each["secrets"]] for each in settings]
    assert ["Domain forbidden"] * 2 == [each["refusal"] for each in settings]
    monkeypatch.delenv("T")
    with world.session(network_secret={"T": ("api.test",)}) as session:
        with pytest.raises(SecretError, match="the network secret T is not set"):
            bring_up(session)
        with pytest.raises(SecretError, match="both a network secret and a plain variable"):
            session.spec(snapshot(), {"T": "x"})


@pytest.mark.parametrize(
    ("methods", "policy", "expected"),
    [
        ("all", "https-only", ()),
        ("safe", "https-only", ("GET", "HEAD", "OPTIONS")),
        ("safe", {"methods": ["POST"]}, ("POST",)),
    ],
)
def test_methods_of_tests(world, methods, policy, expected):
    """
    The option restricts the policy of tests, but not that of scripts, nor the methods that a
    policy names itself.
    """
    with world.session(network_methods=methods, network=policy) as session:
        spec = session.spec(snapshot(), {})

        assert expected == spec.policy.methods
        assert () == spec.setup_policy.methods
        assert expected == session.read_test_policy(policy).methods


def test_leaving_the_context_ends_every_workspace(world):
    """
    Whether it was stopped or not.
    """
    with world.session() as session:
        stopped, left = bring_up(session), bring_up(session)
        session.stop(stopped)
        assert session.stop(stopped) is None

    with pytest.raises(WorkspaceLost):
        left.path(HISTORY).read_text()
    assert [] == world.leftovers()


def test_what_is_not_used_is_not_made(world):
    """
    A session that only looks at a repository has no engine.
    """
    before = world.engine.images({})
    with world.session() as session:
        assert "engine" not in session.__dict__
        _ = session.engine
        assert "isolation" not in session.__dict__
    assert before == world.engine.images({})


def test_threads_share_the_parts(world):
    """
    Each part is made once, whichever thread asks first.
    """
    made = []

    def connect(url):
        made.append(url)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.05)  # A second thread that makes one would come here, too.
        return FakeEngine()

    both = threading.Barrier(2)
    output = Output("quiet", lambda _: None)
    with (
        Session(Config(image=BASE), output, connect=connect) as session,
        ThreadPoolExecutor(4) as pool,
    ):
        found = set(pool.map(lambda _: id(session.engine), range(4)))

    assert len(found) == len(made) == 1


def test_a_session_is_closed_in_order(world, monkeypatch):
    """
    Layers are removed when no container uses them, and the engine is closed last.
    """
    order = []
    with world.session("off") as session:
        bring_up(session)
        for name, close in session._closers.items():
            session._closers[name] = lambda name=name, close=close: (order.append(name), close())

    assert [
        "workspaces",
        "spare",
        "releases",
        "projections",
        "isolation",
        "sweep",
        "objects",
        "snapshots",
        "layers",
        "engine",
    ] == order


def test_an_error_of_closing_does_not_stop_it(world):
    """
    What comes after it is closed, and the first error is raised at the end.
    """

    with pytest.raises(EngineError, match="first"), world.session() as session:
        bring_up_and_break(session, projections="second", releases="first")

    assert [] == world.leftovers()


def test_an_error_on_its_way_is_more_important(world):
    """
    The user's error is not replaced by an error of closing.
    """
    with pytest.raises(KeyError, match="mine"), world.session() as session:
        bring_up_and_break(session, KeyError("mine"), layers="closing")


def bring_up_and_break(session, error=None, **closers):
    """
    Start a workspace, let the closing of parts fail with a text, and raise *error*.
    """

    def fail(text):
        raise EngineError(text)

    bring_up(session)
    for part, text in closers.items():
        session._closers[part] = partial(fail, text)
    if error is not None:
        raise error


def test_a_session_can_be_closed_twice(world):
    """
    The second time nothing is left to close.
    """
    with world.session() as session:
        bring_up(session)
        session.close()
        session.close()

    assert [] == world.leftovers()


def test_a_workspace_that_an_error_ends_is_in_the_report(world):
    """
    It has the label with which it was started, as one that was stopped has. So has its beginning,
    for a session that does not see its end.
    """
    begun, added = [], []
    with suppress(KeyError), world.session() as session:
        session.report = SimpleNamespace(
            begun=lambda *fields: begun.append(fields),
            workspace=lambda *fields: added.append(fields),
        )
        stopped, left = bring_up(session, label="a"), bring_up(session, label="b")
        session.stop(stopped)
        raise KeyError

    assert [(stopped, "a"), (left, "b")] == begun == added
    assert [] == list(left.network)


def test_a_workspace_is_kept_as_an_image(world):
    """
    It has the workspace's files, and outlives the session.
    """
    with world.session() as session:
        ws = bring_up(session)
        tag = session.stop(ws, keep=True)

    assert f"{IMAGE}:kept-{ws.container[:12]}" == tag
    assert "kept" == world.engine.image(tag).labels[labels.KIND]


def test_only_the_newest_are_kept(world, monkeypatch):
    """
    Each is as large as what its test has written.
    """
    monkeypatch.setattr("pytest_codex_workspace.session._KEPT", 1)
    with world.session() as session:
        tags = [session.stop(bring_up(session), keep=True) for _ in range(2)]

    assert [False, True] == [world.engine.image(tag) is not None for tag in tags]


def test_a_workspace_that_is_gone_is_not_kept(world):
    """
    Somebody removed its container.
    """
    with world.session() as session:
        ws = bring_up(session)
        world.engine.remove(ws.container)

        assert session.stop(ws, keep=True) is None


def test_an_interrupted_keep_ends_the_workspace(world):
    """
    Its container goes, and its log can still be read.
    """

    def interrupt(call):
        raise KeyboardInterrupt

    with world.session() as session:
        ws = bring_up(session)
        world.on_call = interrupt
        with pytest.raises(KeyboardInterrupt):
            session.stop(ws, keep=True)
        world.on_call = None
        session.isolation.wait_for_cleanup()

        assert world.engine.container(ws.container) is None
        assert [] == list(ws.network)


def test_a_proxy_that_does_not_start_is_remembered(world, monkeypatch):
    """
    The next test gets the same error at once.
    """
    starts = []

    def run(spec, stdin, stdout):
        if spec.command[-1].endswith("main.py"):
            starts.append(spec.name)
            return 1
        return world.run(spec, stdin, stdout)

    monkeypatch.setattr(world.engine, "_run", run)
    with world.session() as session:
        with pytest.raises(ProxyError) as first:
            bring_up(session)
        with pytest.raises(ProxyError) as second:
            bring_up(session)

    assert first.value is second.value
    assert 1 == len(starts)
    assert [] == world.leftovers()


def test_a_proxy_that_ends_is_started_again(world):
    """
    The next workspace has a new proxy with the same authority, and uses the same layers.
    """
    with world.session() as session:
        first = bring_up(session)
        proxy, authority = session.isolation.container, session.isolation.info.ca_certificate
        for one in world.engine.containers({labels.SESSION: session.identity.id}):
            world.engine.remove(one.id)
        while not session.isolation.proxy.lost:
            pass
        second = bring_up(session)

        assert proxy != session.isolation.container
        assert authority == session.isolation.info.ca_certificate
        assert ("miss", "hit") == (first.setup.cache, second.setup.cache)
        assert [] == list(second.network)


def test_a_proxy_that_ends_is_started_again_once(world):
    """
    Several threads that start workspaces do not start a proxy each.
    """
    found = []
    with world.session() as session:
        bring_up(session)
        for one in world.engine.containers({labels.SESSION: session.identity.id}):
            world.engine.remove(one.id)
        while not session.isolation.proxy.lost:
            pass
        starts = [
            threading.Thread(target=lambda: found.append(bring_up(session).setup.cache))
            for _ in range(4)
        ]
        for start in starts:
            start.start()
        for start in starts:
            start.join(20)

    assert ["hit"] * 4 == found
    assert 2 == len(world.proxies)


_TOOLS = ("setup", "tools", None)
"""What a base image lacks is installed behind the gate."""


def test_policies_apply_to_their_phases(world):
    """
    Scripts have the policy of setup, tests the policy of the test.
    """
    with world.session(network_setup="open") as session:
        policy = session.read_policy("offline")
        spec = session.spec(snapshot(), {}, policy=policy)
        session.stop(session.workspace(spec, "ready"))
        session.stop(session.workspace(spec, "miss"))

    assert [
        _TOOLS,
        ("setup", "open", None),  # clean
        ("setup", "open", None),
        ("resume", "open", None),
        ("test", "offline", None),
        ("setup", "open", None),  # miss
        ("test", "offline", None),
    ] == world.registered


def test_presets_ask_the_base_image_once(world):
    """
    A layer on top of it could have been changed by a script.
    """
    with world.session() as session:
        hosts = session.policies._registries()

        assert {} == hosts
        assert any("has no list of package registries" in line for line in world.shown)
    assert [_TOOLS, ("setup", "offline", None)] == world.registered


class MeetingEngine(FakeEngine):
    """
    Ends the build of the runtimes and that of the proxy image only when both have begun.
    """

    def __init__(self) -> None:
        super().__init__(pullable=[DEBIAN])
        self.meeting = threading.Barrier(2)
        self.targets: list[str] = []

    def build(self, context, *, dockerfile, target="", **more):
        self.targets.append(target)
        if target or dockerfile.startswith("proxy/"):
            self.meeting.wait(10)
        return super().build(context, dockerfile=dockerfile, target=target, **more)


def test_a_new_machine_builds_the_runtimes_beside_the_proxy_image():
    """
    Once there is a proxy image, nothing is built ahead.
    """
    engine = MeetingEngine()
    config = Config(image="slim")
    for _ in range(2):
        output = Output("quiet", lambda _: None)
        with Session(config, output, connect=lambda _: engine) as session:
            session.build_ahead()
            ensure_proxy_image(engine, output=output)
            session.ensure_base_image(CERTIFICATE)

    assert ["", "", "runtimes"] == sorted(engine.targets)


def test_what_fails_ahead_is_reported_by_the_build_that_needs_it():
    """
    The error of the thread is not lost, and not raised twice.
    """

    class BrokenEngine(FakeEngine):
        def build(self, context, *, dockerfile, **more):
            if dockerfile.startswith("slim/"):
                raise ImageBuildError("no network")
            return super().build(context, dockerfile=dockerfile, **more)

    engine = BrokenEngine(pullable=[DEBIAN])
    output = Output("quiet", lambda _: None)
    with Session(Config(image="slim"), output, connect=lambda _: engine) as session:
        session.build_ahead()
        ensure_proxy_image(engine, output=output)
        with pytest.raises(ImageBuildError, match="no network"):
            session.ensure_base_image(CERTIFICATE)


class Stopping:
    """
    An engine that is stopped while a workspace starts: its containers end, and it refuses some
    calls before it is back.
    """

    def __init__(self, engine: FakeEngine, calls: int) -> None:
        self._engine = engine
        self._calls = calls
        self.stopped = False

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def create(self, spec):
        if self.stopped and self._calls:
            self._calls -= 1
            if self._calls == 1:
                for one in self._engine.containers({labels.SESSION: None}):
                    self._engine.remove(one.id)
            raise EngineUnavailable("the engine stopped responding")
        return self._engine.create(spec)


def test_the_engine_is_restarted_while_a_workspace_starts(world):
    """
    The engine still answers some requests while it stops. The workspace is started when it is
    back, with a new proxy.
    """
    with world.session() as session:
        session.stop(bring_up(session))
        stopping = Stopping(session.engine, calls=3)
        vars(session)["engine"] = session.isolation._engine = session.launcher._engine = stopping
        proxy = session.isolation.container
        stopping.stopped = True

        bring_up(session)

        assert session.isolation.container != proxy


def test_an_engine_that_never_answered_is_asked_once(world):
    """
    An address where nothing answers takes seconds, which no other test has to wait.
    """
    tried = []

    def connect(choice):
        tried.append(choice)
        raise EngineUnavailable("nothing answers")

    with Session(Config(), Output("quiet", lambda _: None), connect=connect) as session:
        for _ in range(3):
            with pytest.raises(EngineUnavailable):
                bring_up(session)
    assert tried == ["auto"]


def test_an_engine_that_is_away_is_not_a_lasting_failure(world, monkeypatch):
    """
    The network could not be opened; when the engine is back, the next workspace has one.
    """
    with world.session() as session:
        failing = iter([EngineUnavailable("away")])

        def ensure(engine, **options):
            for error in failing:
                raise error
            return ensure_proxy_image(engine, **options)

        monkeypatch.setattr("pytest_codex_workspace.session.ensure_proxy_image", ensure)
        assert bring_up(session).container


class Row:
    """
    Two engines of one run; those in `away` do not answer.
    """

    def __init__(self):
        self.worlds = {"one": World(), "two": World()}
        self.away = set()
        self.said = []

    def connect(self, name):
        if name in self.away:
            raise EngineUnavailable("nothing answers there")
        return self.worlds[name].engine

    def session(self, engine="one", **options):
        config = Config(image=BASE, engine=engine, engines=("one", "two"), **options)
        output = Output("progress", self.said.append)
        return Session(config, output, connect=self.connect)

    def lose(self, name):
        """
        Let an engine not answer any more, and end what runs on it.
        """
        self.away.add(name)
        engine = self.worlds[name].engine
        for one in engine.containers({labels.SESSION: None}):
            engine.remove(one.id)

    def lose_for_good(self, name, session, monkeypatch):
        """
        As `lose`; the engine does not start a new proxy either.
        """

        def away(*_, **__):
            raise EngineUnavailable("it is away")

        self.lose(name)
        monkeypatch.setattr(session.isolation, "revive", away)


@pytest.fixture
def row(world):
    return Row()


@pytest.mark.parametrize(("first", "used"), [("one", "one"), ("two", "two")])
def test_a_process_uses_its_own_engine_of_several(row, first, used):
    """
    Nothing is made on the others.
    """
    with row.session(first) as session:
        assert "miss" == bring_up(session).setup.cache
        assert used == session.config.engine

    assert {"one": first == "one", "two": first == "two"} == {
        name: bool(world.trace) for name, world in row.worlds.items()
    }


def test_an_engine_that_is_away_at_the_start_is_left_out(row):
    """
    A line says why. If all are away, the error has each of them.
    """
    row.away.add("two")
    with row.session("two") as session:
        bring_up(session)
        assert "one" == session.config.engine
    assert any("one is used" in line and "two: nothing answers" in line for line in row.said)

    row.away.add("one")
    with row.session() as session, pytest.raises(EngineUnavailable) as caught:
        bring_up(session)
    assert "None of the 2 engines answers" in str(caught.value)
    assert all(f"- {name}: nothing answers there" in str(caught.value) for name in ("one", "two"))


def test_after_a_loss_the_next_test_uses_another_engine(row):
    """
    The error of the first one names the engine, and what the session had there is forgotten.
    """
    with row.session() as session:
        ws = bring_up(session)
        engine = session.engine
        assert not session.leave_lost_engine()

        row.lose("one")
        with pytest.raises(WorkspaceLost, match=r"\(on the engine one\)"):
            ws.exec("true")
        session.stop(ws)
        assert session.leave_lost_engine()

        assert "miss" == bring_up(session).setup.cache
        assert ("two", False) == (session.config.engine, session.engine is engine)
        assert not session.leave_lost_engine()
    assert [] == row.worlds["two"].leftovers()
    assert any("the engine one does not answer any more" in line for line in row.said)


def test_a_lost_workspace_is_no_lost_engine(row):
    """
    The session stays where it is.
    """
    with row.session() as session:
        ws = bring_up(session)
        row.worlds["one"].engine.remove(ws.container)
        with pytest.raises(WorkspaceLost):
            ws.exec("true")
        session.stop(ws)

        assert not session.leave_lost_engine()
        assert "hit" == bring_up(session).setup.cache


def test_nobody_waits_for_an_engine_where_there_is_another(row, monkeypatch):
    """
    The error that a workspace could not be started names the engine in a note.
    """
    slept = []
    monkeypatch.setattr("pytest_codex_workspace.engine.outage.clock.sleep", slept.append)
    with row.session() as session:
        bring_up(session)
        row.lose_for_good("one", session, monkeypatch)
        with pytest.raises(EngineUnavailable) as caught:
            bring_up(session)
        assert ["The container engine was one."] == caught.value.__notes__
        assert [] == slept
        assert session.leave_lost_engine()
        assert "miss" == bring_up(session).setup.cache


@pytest.mark.parametrize("cache", ["auto", "refresh", "off", "require"])
def test_a_setup_of_another_engine_is_copied(row, cache):
    """
    So that it is made once. With `refresh` and `off`, each engine makes its own.
    """
    with row.session("one") as session:
        bring_up(session)
    for world in row.worlds.values():
        world.trace.clear()

    with row.session("two", cache=cache) as session:
        found = bring_up(session).setup.cache

    copied = cache in ("auto", "require")
    assert copied == ("setup.sh" not in row.worlds["two"].trace)
    assert copied == (found == "hit")
    assert [] == [one for one in row.worlds["one"].trace if ">" in one]


def test_engines_do_not_wait_for_each_other(row, monkeypatch):
    """
    What each of them makes for itself is made at the same time.
    """
    other = row.worlds["two"].engine
    monkeypatch.setattr(other, "version", lambda: {"name": "fake", "root": "/elsewhere"})
    found = []

    def meanwhile(image):
        row.worlds["one"].before_create = None
        with row.session("two") as session:
            found.append(bring_up(session, "clean"))
        assert [] == [line for line in row.said if "waiting for" in line]

    row.worlds["one"].before_create = meanwhile
    with row.session("one") as session:
        bring_up(session, "clean")

    assert 1 == len(found)


def test_a_state_is_prepared_once_for_a_session(world):
    """
    In a workspace like that of the first test, which is gone afterwards; another environment has
    another state.
    """
    prepared = []

    def prepare(ws):
        prepared.append(ws)
        ws.path("/state").write_text(f"{len(prepared)}")

    with world.session() as session:
        spec, other = session.spec(snapshot(), {}), session.spec(snapshot(), {"A": "1"})
        state = session.prepared(StateName("installed"), spec, "ready", prepare)
        assert session.prepared(StateName("installed"), spec, "ready", prepare) is state
        assert session.prepared(StateName("installed"), other, "ready", prepare) is not state

        ws = session.workspace(spec, state)

        assert ws.path("/state").read_text() == "1"
        assert len(prepared) == 2
        assert world.engine.container(prepared[0].container) is None
        assert session.running() == []


def test_a_preparation_that_fails_leaves_no_workspace(world):
    """
    Neither a snapshot.
    """

    def prepare(ws):
        raise ValueError("no")

    with world.session() as session:
        spec = session.spec(snapshot(), {})
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                session.prepared(StateName("installed"), spec, "ready", prepare)
        session.launcher.wait_for_cleanup()
        assert world.engine.containers({labels.KIND: "workspace"}) == []
        assert "temporary" not in world.layers()


def test_a_state_with_a_key_is_cached(world):
    """
    A later run finds it, with the setup that it stands on; another key, or another environment, has
    another one.
    """
    prepared = []

    def prepare(ws):
        prepared.append(ws.path("/state").write_text(f"{len(prepared)}"))

    def run(key="1", env=None, cache="auto"):
        name = StateName("installed", key)
        with world.session(cache) as session:
            spec = session.spec(snapshot(), env or {})
            ws = session.workspace(spec, session.prepared(name, spec, "ready", prepare))
            assert {} == {one.path: one.kind for one in ws.diff(since="start")}
            snap = ws.snapshot()
            assert session.workspace(spec, snap).setup.cache == {"auto": "hit", "off": "off"}[cache]
            return ws.path("/state").read_text(), ws.setup

    first, second = run(), run()

    assert first[0] == second[0] == "0"
    assert len(prepared) == 1
    assert (second[1].cache, second[1].output) == ("hit", "setup\nresume\n")
    assert first[1].key == second[1].key == world.newest("setup").labels[labels.KEY]
    assert ["clean", "prepared", "ready", "setup"] == world.layers()
    assert run("2")[0] == "1"
    assert run(env={"A": "1"})[0] == "2"
    assert run(cache="off")[0] == "3"
    assert world.leftovers() == []


def test_a_state_with_a_key_and_without_setup(world):
    """
    It stands on the commit.
    """
    with world.session() as session:
        spec = session.spec(snapshot(scripts_tree=None, has_setup=False, has_resume=False), {})
        name = StateName("installed", "1")
        state = session.prepared(name, spec, "ready", lambda ws: ws.path("/state").write_text("1"))

        assert session.workspace(spec, state).setup.cache == "none"
    assert ["clean", "prepared"] == world.layers()


def test_a_setup_that_fails_under_a_prepared_state_is_reported(world):
    """
    Once, for the workspace in which the state was to be prepared.
    """
    told = []
    world.scripts[SETUP].code = 3
    with world.session() as session:
        session.report = SimpleNamespace(failed_setup=lambda *words: told.append(words[2]))
        spec = session.spec(snapshot(), {})
        for key in (None, "1"):
            name = StateName("installed", key)
            for _ in range(2):
                with pytest.raises(SetupError):
                    session.prepared(name, spec, "ready", lambda ws: None)

    assert told == ["codex_snapshot('installed')", "codex_snapshot('installed', key='1')"]


def test_an_engine_that_is_lost_under_a_prepared_state_is_left(row, monkeypatch):
    """
    The state is prepared on another one.
    """
    name = StateName("installed")
    with row.session() as session:
        bring_up(session)
        row.lose_for_good("one", session, monkeypatch)
        spec = session.spec(snapshot(), {})
        with pytest.raises(EngineUnavailable):
            session.prepared(name, spec, "ready", lambda ws: None)

        assert session.leave_lost_engine()
        assert session.prepared(name, spec, "ready", lambda ws: None)
