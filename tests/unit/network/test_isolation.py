"""Tests of the session's network, with an engine in memory and scripted containers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.errors import EngineError, ProxyError
from pytest_codex_workspace.network.isolation import Isolation, ProxySettings
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY
from tests.fakes.engine import FakeEngine


class Containers:
    """
    The programs of the containers: a proxy and network holders.

    Attributes:
        holder_answer: what a holder answers; empty to end without an answer.
        messages: everything that proxies received, oldest first.
    """

    def __init__(self) -> None:
        self.holder_answer = b'{"ready": true, "address": "172.18.0.3"}\n'
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
            if self.holder_answer:
                stdin.read()
            return 0
        for line in stdin:
            message = json.loads(line)
            self.messages.append(message)
            reply = {"reply": message["id"], "ok": True, "ca_certificate": "PEM", "ca": "KEY+PEM"}
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
def isolation(engine: FakeEngine) -> Iterator[Isolation]:
    """
    Return a network that has not been opened.
    """
    made = Isolation(engine, Identity("s1"), engine.add_image("proxy:latest"))
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
