"""Which addresses connections may lead to."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from pathlib import Path

import pytest
from mitmproxy.connection import Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from proxy_addons.judge import addresses
from proxy_addons.judge.addresses import AddressGuard, GuardedEventLoop, connected_networks
from pytest_codex_workspace.network.rules.policy import Policy, RequestFacts
from tests.helpers.flows import AddonChain


@pytest.mark.parametrize(
    ("target", "approved", "objection"),
    [
        (("example.org", 443), ("example.org", 443), None),
        (("example.org", 443), ("example.org", 8443), "it was not approved"),
        (("other.example", 443), ("example.org", 443), "it was not approved"),
        (("127.1", 443), ("127.1", 443), "127.1 is a private address"),
    ],
)
def test_connections_are_refused_unless_approved(
    target: tuple[str, int], approved: tuple[str, int], objection: str | None
) -> None:
    """
    A connection leads only to a target that a request was approved for.
    """
    chain = AddonChain()
    connection = chain.connect(("example.org", 443))
    connection.approved[approved] = RequestFacts(approved[0], port=approved[1])
    server = Server(address=target)
    data = ServerConnectionHookData(server=server, client=connection.client)
    # What is approved is known to the current task alone.
    contextvars.copy_context().run(AddressGuard(chain.registry).server_connect, data)

    assert objection == server.error


@pytest.mark.parametrize(
    ("policy", "found", "left"),
    [
        (Policy(), ["93.184.216.34"], ["93.184.216.34"]),
        (Policy(), ["10.0.0.1", "93.184.216.34"], ["93.184.216.34"]),
        (Policy(), ["10.0.0.1", "::1"], None),
        (Policy(private=("10.0.0.0/8",)), ["10.0.0.1", "::1"], ["10.0.0.1"]),
    ],
)
def test_a_name_resolves_to_allowed_addresses_only(
    monkeypatch: pytest.MonkeyPatch, policy: Policy, found: list[str], left: list[str] | None
) -> None:
    """
    A name without any allowed address is refused.
    """
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in found],
    )
    chain = AddonChain(policy)
    connection = chain.connect(("example.org", 443))

    async def resolve() -> list[str]:
        addresses._connecting.set((connection, RequestFacts("example.org")))
        infos = await asyncio.get_running_loop().getaddrinfo("example.org", 443)
        return [info[4][0] for info in infos]

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        if left is None:
            with pytest.raises(PermissionError, match=r"resolves to 10\.0\.0\.1, ::1, a private"):
                runner.run(resolve())
            assert connection.refused["example.org", 443].reason == "private-address"
        else:
            assert left == runner.run(resolve())


def test_a_look_up_needs_an_approved_connection() -> None:
    """
    Any other look-up is refused before it is made.
    """

    async def resolve() -> None:
        await asyncio.get_running_loop().getaddrinfo("example.org", 443)

    with (
        asyncio.Runner(loop_factory=GuardedEventLoop) as runner,
        pytest.raises(PermissionError, match="without an approved connection"),
    ):
        runner.run(resolve())


def test_connected_networks_are_those_without_a_gateway(tmp_path: Path) -> None:
    """
    The default route is not one of them.
    """
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth1\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000014CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )

    assert connected_networks(table) == ["203.20.0.0/24"]
    assert connected_networks(tmp_path / "none") == []
