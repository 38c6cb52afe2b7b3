"""Tests of the session's network, with an engine in memory and scripted containers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.errors import EngineError, ProxyError
from pytest_codex_workspace.network import isolation as isolation_module
from pytest_codex_workspace.network.isolation import Holder, Isolation, ProxySettings
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY
from tests.fakes.engine import FakeEngine


class Containers:
    """
    The programs of the containers: a proxy and network holders.

    Attributes:
        holder_answer: what a holder answers; empty to end without an answer.
        drains: what holders answer later, oldest first; then that nothing is left.
        messages: everything that proxies received, oldest first.
    """

    def __init__(self) -> None:
        self.holder_answer = b'{"ready": true, "address": "172.18.0.3"}\n'
        self.drains: list[bytes] = []
        self.taken: set[object] = set()
        """Addresses that are not free."""
        self.messages: list[dict[str, object]] = []
        self.specs: list[ContainerSpec] = []

    def run(self, spec: ContainerSpec, stdin: BinaryIO, stdout: BinaryIO) -> int:
        """
        Run the program of a container until the end of its input.
        """
        self.specs.append(spec)
        if "holder" in spec.name:
            stdin.readline()
            stdout.write(self.holder_answer)
            for _ in stdin if self.holder_answer else ():
                clean = b'{"drained": true, "sentinels": 1}\n'
                stdout.write(self.drains.pop(0) if self.drains else clean)
            return 0
        for line in stdin:
            message = json.loads(line)
            self.messages.append(message)
            reply = {"reply": message["id"], "ok": True, "ca_certificate": "PEM", "ca": "KEY+PEM"}
            reply["free"] = message.get("address") not in self.taken
            stdout.write(json.dumps(reply).encode() + b"\n")
        return 0

    def operations(self, name: str) -> list[dict[str, object]]:
        """
        Return the messages of one operation.
        """
        return [message for message in self.messages if message["op"] == name]


@pytest.fixture
def containers() -> Containers:
    """
    Return the programs of the containers.
    """
    return Containers()


@pytest.fixture
def engine(containers: Containers) -> Iterator[FakeEngine]:
    """
    Return an engine whose containers run these programs.
    """
    engine = FakeEngine(containers.run)
    yield engine
    for container in engine.containers({}):
        engine.remove(container.id)
    engine.close()


@pytest.fixture
def told() -> list[str]:
    """
    What failed in the background.
    """
    return []


@pytest.fixture
def isolation(engine: FakeEngine, told: list[str]) -> Iterator[Isolation]:
    """
    Return a network that has not been opened.
    """
    made = Isolation(engine, Identity("s1"), engine.add_image("proxy:latest"), told.append)
    yield made
    made.close()


def settings(**changes: object) -> ProxySettings:
    """
    Return settings without an authority, with *changes*.
    """
    values: dict[str, object] = {"ca": None, "upstream_ca": b"", "policy": HTTPS_ONLY, **changes}
    return ProxySettings(**values)  # type: ignore[arg-type]


def kinds(engine: FakeEngine) -> list[str]:
    """
    Return the kinds of all containers that run.
    """
    return sorted(one.labels[labels.KIND] for one in engine.containers({}) if one.running)


def networks(engine: FakeEngine, container: str) -> set[str]:
    """
    Return the networks that a container is connected to.
    """
    found = engine.container(container)
    assert found is not None
    return set(found.addresses)


def test_the_proxy_is_the_only_container_with_access(
    engine: FakeEngine, isolation: Isolation
) -> None:
    """
    The proxy joins the internal network and the outside; a holder joins only the internal one.
    """
    isolation.open(settings())
    holder = isolation.acquire()

    [network] = engine.networks({labels.SESSION: "s1"})
    assert networks(engine, isolation.container) == {network.name, engine.egress_network}
    assert networks(engine, holder.container) == {network.name}
    assert kinds(engine) == ["holder", "proxy"]


def test_a_replaying_proxy_has_no_access(engine: FakeEngine, isolation: Isolation) -> None:
    """
    For a replay, the proxy joins only the internal network.
    """
    isolation.open(settings(cassette="replay"))

    [network] = engine.networks({labels.SESSION: "s1"})
    assert networks(engine, isolation.container) == {network.name}


def test_no_program_of_the_isolation_gains_rights(
    isolation: Isolation, containers: Containers
) -> None:
    """
    Nothing in the proxy or in a holder needs set-user-id programs.
    """
    isolation.open(settings())
    isolation.acquire()

    assert {spec.no_new_privileges for spec in containers.specs} == {True}
    assert len(containers.specs) == 2


def test_a_released_namespace_is_used_again(
    engine: FakeEngine, isolation: Isolation, containers: Containers
) -> None:
    """
    The workspace is removed first, and the proxy forgets the address.
    """
    isolation.open(settings())
    first = isolation.acquire()
    workspace = engine.create(
        ContainerSpec("proxy:latest", ["x"], "w", network=f"container:{first.container}")
    )
    events: list[str] = []

    isolation.release(first, workspace, lambda: events.append("after"))
    isolation.wait_for_cleanup()

    assert events == ["after"]
    assert engine.container(workspace) is None
    assert [message["address"] for message in containers.operations("release")] == [first.address]
    assert isolation.acquire() is first


def release(isolation: Isolation, holder: Holder, container: str = "") -> None:
    """
    End a workspace, and wait until what can be done at once is done.
    """
    isolation.release(holder, container, lambda: None)
    isolation.wait_for_cleanup()


def test_a_namespace_with_open_sockets_is_not_lent(
    isolation: Isolation, containers: Containers
) -> None:
    """
    It is ended if something is still left after a while.
    """
    isolation.open(settings())
    first = isolation.acquire()
    left = b'{"drained": false, "sentinels": 0, "why": "3 sockets to the proxy are open"}\n'
    containers.drains = [left, left]
    release(isolation, first)
    isolation._draining.shutdown()

    assert isolation.acquire().container != first.container


def test_a_namespace_is_lent_once_it_is_empty(isolation: Isolation, containers: Containers) -> None:
    """
    The second look, in the background, finds it empty.
    """
    isolation.open(settings())
    first = isolation.acquire()
    containers.drains = [b'{"drained": false, "sentinels": 0, "why": "open"}\n']
    release(isolation, first)
    isolation._draining.shutdown()

    assert isolation.acquire() is first


def test_an_address_that_the_proxy_still_serves_is_not_lent(
    isolation: Isolation, containers: Containers
) -> None:
    """
    Neither by the same holder nor by a new one to which the engine gives the same address.
    """
    isolation.open(settings())
    first = isolation.acquire()
    containers.taken = {first.address}
    release(isolation, first)
    isolation._draining.shutdown()
    isolation._draining = ThreadPoolExecutor(1)

    second = isolation.acquire()
    assert second.address != first.address
    assert first.address in [one["address"] for one in containers.operations("free")]
    isolation._draining.shutdown()


def test_a_phase_does_not_begin_while_something_is_left(
    isolation: Isolation, containers: Containers
) -> None:
    """
    The workspace's address belongs to nobody until then.
    """
    isolation.open(settings())
    holder = isolation.acquire()

    isolation.vacate(holder, "w1")
    assert containers.operations("release")[0]["workspace"] == "w1"
    assert [one["sentinels"] for one in containers.operations("free")] == [1]
    containers.drains = [b'{"drained": false, "sentinels": 0, "why": "open"}\n']
    with pytest.raises(ProxyError, match="so no other phase can begin"):
        isolation.vacate(holder, "w1")


def test_a_failed_removal_is_told_and_its_namespace_is_not_lent(
    engine: FakeEngine,
    isolation: Isolation,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The workspace may still run there. What comes after the removal is done all the same.
    """
    isolation.open(settings())
    first = isolation.acquire()

    def fail(_: object = None) -> None:
        raise EngineError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "remove", fail)
        isolation.release(first, "w1", fail)
        isolation.wait_for_cleanup()

    assert told == [
        "the workspace w1 could not be removed: the disk is full",
        "what w1 was started from could not be removed: the disk is full",
    ]
    assert isolation.acquire().container != first.container


def test_removals_that_are_stuck_stop_no_new_workspace(
    engine: FakeEngine,
    isolation: Isolation,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    And whoever waits for them does so with a limit.
    """
    isolation.open(settings())
    stuck = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "remove", lambda _: stuck.wait(60))
        patched.setattr(isolation_module, "_CLEANUP_SECONDS", 0.01)
        for _ in range(6):
            isolation.release(isolation.acquire(), "w", lambda: None)
        assert isolation.acquire().container
        isolation.wait_for_cleanup()
        stuck.set()

    assert told == [
        "6 workspaces could not be removed within 0.01 s; a later run removes what is left"
    ]


def test_a_holder_that_does_not_start_is_given_up(
    isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The wait has a limit, and the error says what to look at.
    """
    isolation.open(settings())
    isolation.acquire()
    monkeypatch.setattr(isolation_module, "_HOLDER_SECONDS", 0.01)
    go = threading.Event()
    monkeypatch.setattr(isolation, "_start_holder", lambda: go.wait(20))

    with pytest.raises(EngineError, match="did not start within"):
        isolation.acquire()
    go.set()
    monkeypatch.undo()


def test_concurrent_workspaces_have_their_own_namespaces(isolation: Isolation) -> None:
    """
    A namespace is lent to one workspace at a time.
    """
    isolation.open(settings())

    first, second = isolation.acquire(), isolation.acquire()

    assert first.container != second.container
    assert first.address != second.address


def test_a_lost_namespace_is_not_used_again(engine: FakeEngine, isolation: Isolation) -> None:
    """
    If a holder has ended, its namespace is replaced.
    """
    isolation.open(settings())
    first = isolation.acquire()
    engine.remove(first.container)

    isolation.release(first, "", lambda: None)
    isolation.wait_for_cleanup()

    assert isolation.acquire().container != first.container


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"error": "IPv6 is enabled"}\n', "could not remove its routes: IPv6 is enabled"),
        (b"", "ended before it was ready: no output"),
    ],
)
def test_a_holder_that_fails_is_explained(
    isolation: Isolation, containers: Containers, answer: bytes, message: str
) -> None:
    """
    The error contains the answer of the holder, if there is one.
    """
    containers.holder_answer = answer
    isolation.open(settings())

    with pytest.raises(EngineError, match=message):
        isolation.acquire()


def test_a_lost_proxy_is_replaced(
    engine: FakeEngine, isolation: Isolation, containers: Containers
) -> None:
    """
    The next proxy has the same authority and network, and old namespaces are not used.
    """
    isolation.open(settings())
    before, network = isolation.acquire(), engine.networks({labels.SESSION: "s1"})
    engine.remove(isolation.container)
    with pytest.raises(ProxyError):
        isolation.proxy.ping()

    isolation.revive()
    after = isolation.acquire()

    assert engine.networks({labels.SESSION: "s1"}) == network
    assert [message["ca"] for message in containers.operations("configure")] == [None, "KEY+PEM"]
    assert not isolation.is_alive(before)
    assert isolation.is_alive(after)


def test_a_working_proxy_is_not_replaced(isolation: Isolation, containers: Containers) -> None:
    """
    `revive` does nothing while the proxy runs.
    """
    isolation.open(settings())

    isolation.revive()

    assert len(containers.operations("configure")) == 1


def test_a_recording_cannot_be_resumed(engine: FakeEngine, isolation: Isolation) -> None:
    """
    If the proxy was recording, its recordings are lost, so the error stays.
    """
    isolation.open(settings(cassette="record"))
    engine.remove(isolation.container)
    with pytest.raises(ProxyError):
        isolation.proxy.ping()

    with pytest.raises(ProxyError, match="the proxy is lost"):
        isolation.revive()


def test_closing_ends_all_containers(engine: FakeEngine, isolation: Isolation) -> None:
    """
    After `close`, the input of every container has ended.
    """
    isolation.open(settings())
    isolation.acquire()

    isolation.close()

    for container in engine.containers({}):
        engine.remove(container.id)
    assert kinds(engine) == []
    with pytest.raises(ProxyError, match="its session has ended"):
        isolation.proxy.ping()
