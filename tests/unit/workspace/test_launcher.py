"""Tests of starting and stopping the containers of workspaces, on the fake engine."""

from __future__ import annotations

import io
import itertools
import socket
import threading
from contextlib import nullcontext

import pytest

from pytest_codex_workspace.errors import EngineError, ProxyError, WorkspaceLost
from pytest_codex_workspace.in_container import workspace_agent as wire
from pytest_codex_workspace.network.proxy_client import Barrier
from pytest_codex_workspace.network.rules.policy import OFFLINE, Policy
from pytest_codex_workspace.network.rules.process import ProcessLine
from pytest_codex_workspace.secrets.secrets import Secrets
from pytest_codex_workspace.workspace.launcher import (
    Launcher,
    PhaseRules,
    PhaseSwitch,
    UnusableImage,
)

from ...helpers.fake_workspaces import BASE, LocalAgent, World, _Agent, tar_of

pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def world():
    """
    An engine with one image that has an agent.
    """
    return World()


@pytest.fixture
def session(world):
    """
    A session on it; nothing is left of it.
    """
    with world.session() as found:
        yield found
    assert [] == world.leftovers()


def launch(session, phase="test", **options):
    options = {"policy": OFFLINE, "cwd": "/", **options}
    return session.launcher.launch(BASE, {"A": "1"}, phase, **options)


def test_a_container_joins_the_network_of_its_holder(world, session):
    """
    It has neither of the capabilities with which it could leave.
    """
    running = launch(session)

    spec = world.engine._containers[running.container].spec
    assert f"container:{running.holder.container}" == spec.network
    assert ("NET_RAW", "NET_ADMIN") == tuple(spec.cap_drop)
    assert "1" == spec.environment["A"]
    assert "http://proxy:8080" == spec.environment["HTTPS_PROXY"]
    session.launcher.stop(running)


def test_another_container_takes_the_place(world, session):
    """
    In the same network and under the same name; its commands run, and it is stopped as any.
    """
    running = launch(session)
    first, name = running.container, running.name
    before = world.engine._containers[first].spec

    session.launcher.restart(running, BASE, "/")

    after = world.engine._containers[running.container].spec
    assert (running.container != first, running.name) == (True, name)
    assert (after.network, after.environment) == (before.network, before.environment)
    assert world.engine.container(first) is None
    running.channel.write_file("/x", b"1")
    session.launcher.stop(running)


def test_a_container_to_look_at_has_no_network(world, session):
    """
    It is gone afterwards.
    """
    with session.launcher.look(BASE) as channel:
        [spec] = [one.spec for one in world.engine._containers.values() if one.spec.image == BASE]
        assert spec.network == "none"
        channel.write_file("/x", b"1")

    assert [] == [one for one in world.engine._containers.values() if one.spec.image == BASE]


def test_the_real_agent_is_prepared(cache_home):
    """
    It writes the names and the certificate before any command runs.
    """
    world = World(LocalAgent)
    with world.session() as session:
        running = launch(session)

        hosts = running.channel.read_file("/etc/hosts").decode()
        assert f"{session.isolation.address}\tproxy\n" in hosts
        assert "::1\tlocalhost ip6-localhost ip6-loopback\n" in hosts
        assert f"{running.holder.address}\tworkspace {socket.gethostname()}\n" in hosts
        resolver = running.channel.read_file("/etc/resolv.conf").decode()
        assert resolver.startswith(f"nameserver {session.isolation.address}\n")
        session.launcher.stop(running)
    assert [] == world.leftovers()


@pytest.mark.parametrize("refused", ["all", "lo"])
def test_an_engine_without_ipv6(cache_home, monkeypatch, refused):
    """
    A kernel without IPv6 has no such settings. Workspaces then come up without `::1`; no image
    is taken for broken.
    """
    world = World(LocalAgent)
    start = world.engine.start

    def refuse(container):
        sysctls = world.engine._containers[container].spec.sysctls
        for name in sysctls:
            if f".{refused}.disable_ipv6" in name:
                path = f"/proc/sys/{name.replace('.', '/')}"
                raise EngineError(f"OCI runtime create failed: open {path}: no such file")
        start(container)

    monkeypatch.setattr(world.engine, "start", refuse)
    with world.session() as session:
        for _ in range(2):
            running = launch(session)
            assert b"::1" not in running.channel.read_file("/etc/hosts")
            assert {} == dict(world.engine._containers[running.container].spec.sysctls)
            session.launcher.stop(running)
    assert [] == world.leftovers()


def test_a_container_is_registered_before_it_runs(world, session):
    """
    Its first request is judged by its own policy.
    """
    order = []

    def note(call):
        order.append((call, len(world.registered)))

    _ = session.launcher
    world.on_call = note
    running = launch(session, "setup", policy=Policy(name="mine"), cassette="/c.jsonl")
    world.on_call = None

    assert [
        *[("before create", 0), ("after create", 0), ("before attach", 0), ("after attach", 0)],
        *[("before start", 1), ("after start", 1)],
    ] == order
    assert [("setup", "mine", "/c.jsonl")] == world.registered
    session.launcher.stop(running)


@pytest.mark.parametrize("error", [EngineError, KeyboardInterrupt])
@pytest.mark.parametrize("when", ["before create", "before attach", "before start", "after start"])
def test_a_failed_launch_is_undone(world, session, when, error):
    """
    No container is left, and the next workspace has the same holder.
    """
    first = launch(session)
    session.launcher.stop(first)
    session.isolation.wait_for_cleanup()
    before = set(world.engine._containers)

    def fail(call):
        if call == when:
            world.on_call = None
            raise error("now")

    world.on_call = fail
    with pytest.raises(error, match="now"):
        launch(session)
    session.isolation.wait_for_cleanup()
    assert before == set(world.engine._containers)

    second = launch(session)
    assert first.holder is second.holder
    session.launcher.stop(second)


def test_an_image_without_an_agent_is_unusable(world, session):
    """
    The error for users is that the workspace is lost, with the image's id for those who have it.
    """
    container = world.engine.create(world.spec_of(BASE))
    world.engine.put_archive(container, "/", world.no_agent())
    world.engine.commit(container, tag=BASE, labels={})
    world.engine.remove(container)

    with pytest.raises(UnusableImage) as caught:
        launch(session)

    assert BASE == caught.value.image
    assert isinstance(caught.value.cause, WorkspaceLost)


def test_an_image_whose_files_are_gone_is_unusable(world, session):
    """
    The cause is the engine's error.
    """
    world.engine.damage_image(BASE)

    with pytest.raises(UnusableImage) as caught:
        launch(session)

    assert "overlay mount" in str(caught.value.cause)
    assert isinstance(caught.value.cause, EngineError)


def test_a_missing_image_is_an_error_of_the_engine(session):
    """
    Nothing is wrong with an image that is not there.
    """
    with pytest.raises(EngineError, match="No such image"):
        session.launcher.launch("absent:1", {}, "test", policy=OFFLINE, cwd="/")


def test_another_holder_takes_the_place_of_one_that_is_gone(world, session):
    """
    Somebody removed the holder that waited for the next workspace.
    """
    first = launch(session)
    session.launcher.stop(first)
    session.isolation.wait_for_cleanup()
    world.engine.remove(first.holder.container)

    second = launch(session)

    assert first.holder.container != second.holder.container
    session.launcher.stop(second)


def test_holders_that_are_always_gone_are_an_error(world, session, monkeypatch):
    """
    Somebody removes each of them. A launch does not try for ever.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.launcher._HOLDERS", 3)
    tried = []

    def fail(holder, *_):
        tried.append(holder.container)
        world.engine.remove(holder.container)
        session.isolation.release(holder, "", lambda: None)
        raise EngineError("the holder is gone")

    monkeypatch.setattr(session.launcher, "_start_on", fail)
    with pytest.raises(EngineError, match="the holder is gone"):
        launch(session)

    assert len(set(tried)) == 3


def made_ahead(launcher):
    """
    Return the container that was started ahead, once it is there.
    """
    _, future = launcher._spare
    return future.result(10)


def test_a_container_is_started_ahead(world, session):
    """
    The next one of its kind takes it. The proxy refuses it everything before, and has the rules of
    who takes it then.
    """
    first = launch(session, policy=Policy(name="mine"))
    session.launcher.prepare_another(first)
    spare = made_ahead(session.launcher)
    assert world.registered == [("test", "mine", None), ("test", OFFLINE.name, None)]

    second = launch(session, "setup", policy=Policy(name="other"), cassette="/c.jsonl")

    assert second is spare
    assert (second.spec.image, second.spec.environment) == (
        first.spec.image,
        first.spec.environment,
    )
    assert second.holder is not first.holder
    assert ("setup", "other", "/c.jsonl") == world.registered[-1]
    world.request(second.name, "one.example")
    assert ["one.example"] == [one.host for one in session.launcher.requests(second)]
    third = launch(session)
    assert third is not spare
    for one in (first, second, third):
        session.launcher.stop(one)


@pytest.mark.parametrize("other", ["image", "env", "cwd"])
def test_a_container_of_another_kind_is_not_taken(world, session, other):
    """
    It is stopped. After several of no use, none is started ahead.
    """
    first = launch(session)
    world.engine.tag(BASE, "other:1")
    kinds = {"image": BASE, "env": {"A": "1"}, "cwd": "/"}
    kinds[other] = {"image": "other:1", "env": {"A": "2"}, "cwd": "/etc"}[other]

    for _ in range(3):
        session.launcher.prepare_another(first)
        spare = made_ahead(session.launcher)
        running = session.launcher.launch(
            kinds["image"], kinds["env"], "test", policy=OFFLINE, cwd=kinds["cwd"]
        )
        assert running is not spare
        session.isolation.wait_for_cleanup()
        assert world.engine.container(spare.container) is None
        session.launcher.stop(running)

    session.launcher.prepare_another(first)
    assert session.launcher._spare is None
    session.launcher.stop(first)


def test_one_container_is_started_ahead(session):
    """
    However often it is asked for.
    """
    first = launch(session)
    session.launcher.prepare_another(first)
    spare = made_ahead(session.launcher)

    session.launcher.prepare_another(first)

    assert made_ahead(session.launcher) is spare
    session.launcher.stop(first)


def test_what_was_started_ahead_may_have_ended(world, session):
    """
    Its container was removed, or the engine has restarted. Another one is started.
    """
    first = launch(session)
    session.launcher.prepare_another(first)
    spare = made_ahead(session.launcher)
    spare.channel.give_up("the engine has restarted")

    second = launch(session)

    assert second is not spare
    second.channel.write_file("/x", b"1")
    session.isolation.wait_for_cleanup()
    assert world.engine.container(spare.container) is None
    session.launcher.stop(first)
    session.launcher.stop(second)


def test_what_was_started_ahead_may_have_lost_its_network(world, session):
    """
    Somebody removed the holder.
    """
    first = launch(session)
    session.launcher.prepare_another(first)
    spare = made_ahead(session.launcher)
    world.engine.remove(spare.holder.container)

    second = launch(session)

    assert second is not spare
    assert session.isolation.is_alive(second.holder)
    session.launcher.stop(first)
    session.launcher.stop(second)


@pytest.mark.parametrize("error", [EngineError("no space left"), OSError("no space left")])
def test_a_failure_to_start_ahead_is_not_told(world, session, error):
    """
    What was the matter may be over when it is needed.
    """
    first = launch(session)
    failed = threading.Event()

    def fail(image):
        if not failed.is_set():
            failed.set()
            raise error

    world.before_create = fail
    session.launcher.prepare_another(first)
    assert failed.wait(10)

    second = launch(session)

    session.launcher.stop(first)
    session.launcher.stop(second)


def test_the_end_of_a_session_waits_for_what_is_started_ahead(cache_home, monkeypatch):
    """
    Nothing of it is left, also if nobody has taken it and it was not there yet.
    """
    world = World()
    goes_on = threading.Event()
    with world.session() as session:
        first = launch(session)
        world.before_create = lambda _: goes_on.wait(10)
        session.launcher.prepare_another(first)
        pool, end = session.launcher._pool, session.launcher._pool.shutdown
        monkeypatch.setattr(pool, "shutdown", lambda **how: (goes_on.set(), end(**how)))
        session.launcher.stop(first)
    assert goes_on.is_set()
    assert [] == world.leftovers()


def test_an_interruption_leaves_what_is_started_ahead_to_be_stopped(world, session, monkeypatch):
    """
    A test that waits for it is interrupted.
    """
    first = launch(session)
    goes_on = threading.Event()
    world.before_create = lambda _: goes_on.wait(10)
    session.launcher.prepare_another(first)
    _, future = session.launcher._spare

    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pytest_codex_workspace.workspace.launcher.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            launch(session)
    goes_on.set()
    spare = future.result(10)

    session.launcher.close()
    session.isolation.wait_for_cleanup()
    assert world.engine.container(spare.container) is None
    session.launcher.stop(first)


def test_requests_belong_to_the_phase_in_which_they_are_made(world, session):
    """
    A container enters another phase with another policy.
    """
    running = launch(session, "setup", policy=Policy(name="one"))
    world.request(running.container, "one.example")
    session.launcher.enter(running, "test", Policy(name="two"), "/c.jsonl")
    world.request(running.container, "two.example")

    found = [f"{one.phase} {one.host}" for one in session.launcher.requests(running)]
    assert ["setup one.example", "test two.example"] == found
    assert [("setup", "one", None), ("test", "two", "/c.jsonl")] == world.registered
    session.launcher.stop(running)


class _PhaseAgent(_Agent):
    """
    An agent that notes the variables of each command, and when everything is ended.
    """

    def _frame(self, kind, number, payload):
        if kind == wire.KILL_ALL:
            self._world.trace.append("kill")
        super()._frame(kind, number, payload)

    def _exec(self, number, request):
        self._world.trace.append(request["env"])
        self._finish(number, 0, b"old new")


def rules(phase, name):
    secrets = Secrets(["T"], {"T": f"{name}-value"})
    assert secrets.values
    return PhaseRules(phase, Policy(name=name), None, {"T": name}, secrets)


@pytest.mark.parametrize("error", [None, ProxyError("ended")])
def test_commands_of_other_threads_wait_for_the_border_of_a_phase(cache_home, monkeypatch, error):
    """
    What begins after everything was ended has the variables of the next phase, also if its thread
    came before the proxy had the policy. A policy from another thread comes after, too. Nothing
    runs if the next phase does not begin.
    """
    world = World(_PhaseAgent)
    results, threads = [], []
    with world.session() as session:
        running = launch(session)
        switch = PhaseSwitch(running, lambda _: None, now=rules("setup", "old"))
        proxy = running.holder.proxy

        def run():
            try:
                results.append(running.channel.run(["true"]).exit_code)
            except WorkspaceLost as lost:
                results.append(type(lost))

        def policy(address, given, container, **more):
            if threads:
                return
            assert ["kill"] == world.trace[-1:]
            threads.append(threading.Thread(target=run))
            threads.append(threading.Thread(target=switch.use, args=(Policy(name="mine"),)))
            for one in threads:
                one.start()
                one.join(0.1)
            assert all(one.is_alive() for one in threads)
            if error:
                raise error

        def close():
            threads[0].join(0.1)
            assert threads[0].is_alive(), "a command began before the workspace ended"
            end()

        end = running.channel.close
        monkeypatch.setattr(proxy, "policy", policy)
        with (
            monkeypatch.context() as patched,
            nullcontext() if error is None else pytest.raises(ProxyError),
        ):
            patched.setattr(running.channel, "close", close)
            switch.enter(rules("test", "new"))
        for one in threads:
            one.join(10)

        now = "setup" if error else "test"
        assert (now, "mine") == (switch.now.phase, switch.now.policy.name)
        assert [WorkspaceLost if error else 0] == results
        assert ["kill"] + ([] if error else [{"T": "new"}]) == world.trace[-2 + bool(error) :]
        session.launcher.stop(running)


def test_a_command_has_the_variables_and_the_secrets_of_one_phase(cache_home):
    """
    Both belong together, also if a phase begins while a command is being sent.
    """
    names = itertools.count()

    class Changing(list):
        def __iter__(self):
            name = str(next(names))
            channel.enter({"T": name}, lambda _: name.encode())
            return super().__iter__()

    world = World(_PhaseAgent)
    with world.session() as session:
        running = launch(session)
        channel = running.channel
        process = channel.start(Changing(["true"]), stdin=False)

        assert process.wait().stdout == world.trace[-1]["T"]
        session.launcher.stop(running)


@pytest.mark.parametrize("step", ["suspend", "kill_all"])
def test_an_interrupted_change_of_phase_ends_the_workspace(cache_home, monkeypatch, step):
    """
    Otherwise, what the test does next would have the secrets of the phase before.
    """

    class Interrupting:
        def suspend(self):
            if step == "suspend":
                raise KeyboardInterrupt

    def interrupt():
        raise KeyboardInterrupt

    with World(_PhaseAgent).session() as session:
        running = launch(session)
        before = rules("setup", "old")
        switch = PhaseSwitch(running, lambda _: None, now=before, services=Interrupting())
        monkeypatch.setattr(running.channel, "kill_all", interrupt)

        with pytest.raises(KeyboardInterrupt):
            switch.enter(rules("test", "new"))

        assert running.channel.lost
        assert switch.now is before
        session.launcher.stop(running)


def test_a_log_of_too_many_requests_is_an_error(world, session, monkeypatch):
    """
    Nothing can be asserted about what was not kept.
    """
    monkeypatch.setattr("pytest_codex_workspace.network.proxy_client.REQUEST_LIMIT", 1)
    running = launch(session)
    for host in ("one.example", "two.example", "three.example"):
        world.request(running.container, host)

    with pytest.raises(ProxyError, match="2 requests exceeded its limit"):
        session.launcher.requests(running)
    session.launcher.stop(running)


@pytest.mark.parametrize(
    ("barrier", "damage", "message"),
    [
        (Barrier(complete=False, passed=False), "", "connections have waited for the proxy"),
        (Barrier(complete=True), "a request whose id is 'x'", "the proxy reported a request"),
    ],
)
def test_a_log_that_may_lack_requests_is_an_error(
    world, session, monkeypatch, barrier, damage, message
):
    """
    It is not read as if it were complete.
    """
    running = launch(session)
    monkeypatch.setattr(running.holder.proxy, "barrier", lambda *_, **__: barrier)
    monkeypatch.setattr(running.holder.proxy, "damage", lambda _: damage)

    with pytest.raises(ProxyError, match=f"is incomplete: {message}"):
        session.launcher.requests(running)
    session.launcher.stop(running)


def test_a_stopped_container_is_forgotten(world, session):
    """
    What it requested can be read a last time; what comes after its removal runs then.
    """
    done = []
    running = launch(session)
    world.request(running.container, "one.example")
    session.launcher.requests(running)

    assert ["one.example"] == [one.host for one in session.launcher.last_requests(running)]
    assert [] == session.launcher.last_requests(running)
    session.launcher.stop(running, lambda: done.append(world.engine.container(running.container)))
    session.launcher.wait_for_cleanup()

    assert [None] == done


def test_files_are_put_into_a_container(world, session):
    """
    As a tar, below a directory.
    """
    running = launch(session)

    session.launcher.put(running, "/", io.BytesIO(tar_of("root/x", b"1").getvalue()))

    assert b"1" == running.channel.read_file("/root/x")
    session.launcher.stop(running)


def test_the_processes_of_a_workspace_are_described_without_its_secrets(world, session):
    """
    The proxy gets one line, which is then part of the log.
    """

    class Said:
        def owner(self, *ends):
            assert ends == ("tcp", ("172.30.0.9", 40000), ("172.30.0.2", 8080))
            return [ProcessLine(("/bin/sh", "setup.sh")), ProcessLine(("login", "hunter22-x"))]

    secrets = Secrets(["TOKEN"], {"TOKEN": "hunter22-x"})
    launcher = Launcher(world.engine, session.isolation, session.identity, secrets)
    _ = secrets.values
    find = launcher._process_finder(Said())

    found = find("tcp", ("172.30.0.9", 40000), ("172.30.0.2", 8080))
    assert found == "sh setup.sh › login ***"
