"""The registered workspaces and their connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mitmproxy.test import tflow

from proxy_addons.state.connections import TOO_MANY_CONNECTIONS, ConnectionRegistry
from proxy_addons.state.limits import MAX_BUFFERED_BYTES, MAX_CONNECTIONS
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, Policy
from tests.helpers.flows import ADDRESS, AddonChain

if TYPE_CHECKING:
    from mitmproxy.connection import Client


def test_an_unregistered_address_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """
    The connection is closed before it can send anything.
    """
    chain = AddonChain()
    client = tflow.tclient_conn()
    client.peername = ("172.30.0.200", 1)
    chain.registry.client_connected(client)

    assert client.error == "not registered"
    assert "172.30.0.200" in caplog.text


def test_an_address_belongs_to_one_workspace() -> None:
    """
    The same workspace may change its phase; another one must wait for the release.
    """
    chain = AddonChain()
    chain.registry.register("172.30.0.9", "w1", "resume")

    assert chain.registry.workspace("172.30.0.9").phase == "resume"
    with pytest.raises(ValueError, match="still belongs to workspace w1; release it first"):
        chain.registry.register("172.30.0.9", "w2", "test")
    with pytest.raises(ValueError, match="not registered"):
        chain.registry.set_policy("172.30.0.8", Policy())


def test_a_phase_owns_its_connections() -> None:
    """
    A connection belongs to the phase in which it was accepted, until it ends.
    """
    chain = AddonChain()
    connection = chain.connect()
    chain.registry.register(ADDRESS, "w1", "resume")
    later = chain.connect()

    assert [connection.workspace.phase, later.workspace.phase] == ["test", "resume"]
    assert chain.registry.connections_of(later.workspace) == [later]
    assert chain.registry.connections(ADDRESS) == [connection, later]


def test_an_address_with_open_connections_gets_no_new_owner() -> None:
    """
    What an owner leaves behind must have ended first.
    """
    chain = AddonChain()
    connection = chain.connect()
    chain.registry.unregister(ADDRESS)

    with pytest.raises(ValueError, match="1 connections of the last owner"):
        chain.registry.register(ADDRESS, "w2", "test")
    chain.registry.remove(connection.client)
    chain.registry.register(ADDRESS, "w2", "test")


def test_an_operation_can_name_the_owner() -> None:
    """
    So a change cannot reach the next workspace.
    """
    registry = AddonChain().registry

    assert registry.owner(ADDRESS, "w1") is registry.workspace(ADDRESS)
    with pytest.raises(ValueError, match="no longer belongs to workspace w0"):
        registry.owner(ADDRESS, "w0")


def test_connections_after_the_end_are_counted_for_their_owner() -> None:
    """
    They are closed, and the next owner knows nothing of them.
    """
    registry = AddonChain().registry
    registry.unregister(ADDRESS)
    ended = registry.last_owner(ADDRESS)
    assert ended is not None

    assert _connect(registry).error == "not registered"
    assert ended.late_connections == 1
    registry.register(ADDRESS, "w2", "test")
    assert registry.last_owner(ADDRESS) is None


def test_only_a_standalone_proxy_accepts_any_address():
    """
    With a host, an address that is not registered is refused.
    """
    registry = ConnectionRegistry(HTTPS_ONLY)
    assert registry.workspace("172.20.0.3") is None

    registry.accept_any_address = True
    found = registry.workspace("172.20.0.3")

    assert found is not None
    assert (found.id, found.policy) == ("172.20.0.3", HTTPS_ONLY)


def _connect(registry: ConnectionRegistry, address: str = ADDRESS) -> Client:
    client = tflow.tclient_conn()
    client.peername = (address, 40000)
    client.error = None
    registry.client_connected(client)
    return client


def test_connections_beyond_the_limit_are_refused() -> None:
    """
    Another connection is accepted once an earlier one has ended.
    """
    registry = AddonChain().registry
    clients = [_connect(registry) for _ in range(MAX_CONNECTIONS)]
    assert {client.error for client in clients} == {None}
    assert _connect(registry).error == TOO_MANY_CONNECTIONS

    registry.remove(clients[0])
    assert _connect(registry).error is None
    assert len(registry.connections(ADDRESS)) == MAX_CONNECTIONS


def test_the_limit_is_logged_again_after_half_of_the_connections_have_ended() -> None:
    """
    A workspace at its limit does not fill the log.
    """
    registry = AddonChain().registry
    clients = [_connect(registry) for _ in range(MAX_CONNECTIONS)]
    workspace = registry.workspace(ADDRESS)
    assert workspace is not None
    workspace.connection_limit_logged = True

    half = MAX_CONNECTIONS // 2
    for client in clients[:half]:
        registry.remove(client)
    assert workspace.connection_limit_logged
    registry.remove(clients[half])
    assert not workspace.connection_limit_logged


def test_memory_of_connections_adds_up_for_their_workspace() -> None:
    """
    A connection that ends no longer counts.
    """
    chain = AddonChain()
    first, second = chain.connect(), chain.connect()
    workspace = first.workspace
    first.measure, second.measure = lambda: (10, 1), lambda: (20, 2)
    chain.registry.update_usage(workspace)
    assert (workspace.request_bytes, workspace.response_bytes) == (30, 3)

    first.measure = lambda: (5, 5)
    first.update_usage()
    assert (workspace.request_bytes, workspace.response_bytes) == (25, 7)
    chain.registry.remove(second.client)
    assert (workspace.request_bytes, workspace.response_bytes) == (5, 5)


def test_requests_are_refused_while_responses_wait_to_be_read() -> None:
    """
    The responses are measured again before that: sockets accept them without any event.
    """
    chain = AddonChain()
    connection = chain.connect()
    waiting = [MAX_BUFFERED_BYTES + 1]
    connection.measure = lambda: (0, waiting[0])
    connection.update_usage()
    assert connection.workspace.is_over_memory_limit
    assert not chain.registry.accepts_requests(connection.workspace)

    waiting[0] = 0
    assert chain.registry.accepts_requests(connection.workspace)
    assert not connection.workspace.is_over_memory_limit


def test_only_connections_without_a_request_become_idle() -> None:
    """
    A connection with a request may wait for its response as long as that takes.
    """
    chain = AddonChain()
    waiting, used, logged, active = (chain.connect() for _ in range(4))
    for each in (waiting, used, logged):
        each.last_activity -= 100
    used.request_count = 1
    logged.outcome_logged = True
    assert chain.registry.idle(60) == [waiting]

    waiting.note_activity()
    assert chain.registry.idle(60) == []
    assert active.awaits_request


def test_a_released_address_is_refused() -> None:
    """
    The old workspace stays unregistered when another one gets the address.
    """
    registry = AddonChain().registry
    before = registry.workspace(ADDRESS)
    assert before is not None
    registry.unregister(ADDRESS)
    assert _connect(registry).error == "not registered"

    registry.register(ADDRESS, "w2", "test")
    assert not registry.is_registered(before)
    assert _connect(registry).error is None


def test_a_sentinel_is_reported_and_refused() -> None:
    """
    A barrier knows by it that every earlier connection has been accepted.
    """
    registry, arrived = AddonChain().registry, []
    registry.sentinels["172.30.0.2", 40000] = lambda: arrived.append(True)

    assert _connect(registry, "172.30.0.2").error == "a barrier"
    assert arrived == [True]
    assert registry.sentinels == {}
