"""Traffic through an upstream proxy: routes, headers, and how failures are explained."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from proxy_addons.judge import upstream
from proxy_addons.judge.addresses import AddressGuard, GuardedEventLoop
from proxy_addons.judge.upstream import UpstreamNameGuard, UpstreamRouter
from proxy_addons.state.judgement import Judgement
from pytest_codex_workspace.network.rules.policy import Policy, RequestFacts
from pytest_codex_workspace.network.rules.upstream import UpstreamProxy
from tests.helpers.flows import AddonChain

PROXY = UpstreamProxy.parse("http://me:hush@10.0.0.5:3128", "direct.example")


VIA = ("http", ("10.0.0.5", 3128))


class UpstreamChain(AddonChain):
    """
    The chain behind an upstream proxy.
    """

    def __init__(self, **policy: Any) -> None:
        super().__init__(Policy(**policy))
        self.upstream = UpstreamRouter(PROXY, self.registry)
        self.far = UpstreamNameGuard(self.registry)

    def send(self, **request: Any) -> http.HTTPFlow:
        """
        Send a request through the chain.
        """
        secure = request.get("scheme", "https") == "https"
        host = request.setdefault("host", "example.org")
        connection = self.connect((host, 443) if secure else None)
        flow = self.flow(connection, **{"headers": (), **request})
        self.gate.requestheaders(flow)
        self.upstream.requestheaders(flow)
        self.request_logger.requestheaders(flow)
        with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
            runner.run(self.far.requestheaders(flow))
        return flow


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """
    Return the names that this machine's resolver knows; each look-up removes one.
    """
    known: dict[str, tuple[str, ...]] = {}

    async def look_up(host: str, _: object) -> tuple[str, ...]:
        return known.pop(host, ())

    monkeypatch.setattr(upstream, "_look_up", look_up)
    return known


def test_approved_requests_go_through_the_upstream_proxy(names: dict[str, tuple[str, ...]]) -> None:
    """
    Refused requests do not, nor do those to a host of NO_PROXY.
    """
    chain = UpstreamChain(deny=("evil.example",))

    assert chain.send().server_conn.via == VIA
    assert chain.send(host="direct.example").server_conn.via is None
    assert chain.send(host="evil.example").server_conn.via is None


def test_the_route_is_chosen_for_each_request(names: dict[str, tuple[str, ...]]) -> None:
    """
    A client may send direct and proxied requests on one connection.
    """
    chain = UpstreamChain(http="allow")
    connection = chain.connect()
    shared = tflow.tserver_conn()
    for host, via in (("example.org", VIA), ("direct.example", None), ("example.org", VIA)):
        flow = chain.flow(connection, host=host, port=80, scheme="http", headers=())
        flow.server_conn = shared
        shared.state = shared.state.CLOSED
        chain.gate.requestheaders(flow)
        chain.upstream.requestheaders(flow)
        assert flow.server_conn.via == via


def test_only_the_upstream_proxy_gets_the_password(names: dict[str, tuple[str, ...]]) -> None:
    """
    The password is in a request for a tunnel or without TLS, never inside a tunnel.
    """
    chain = UpstreamChain(http="allow")
    tunnel = tflow.tflow()
    tunnel.request.headers["Proxy-Authorization"] = "the workspace's"
    chain.upstream.http_connect_upstream(tunnel)

    assert tunnel.request.headers.get_all("proxy-authorization") == [PROXY.authorization]
    assert "proxy-authorization" not in chain.send().request.headers
    plain = chain.send(scheme="http", port=80)
    assert plain.request.headers["proxy-authorization"] == PROXY.authorization
    direct = chain.send(scheme="http", port=80, host="direct.example")
    assert "proxy-authorization" not in direct.request.headers


@pytest.mark.parametrize("body", [b"this", b"that"])
def test_a_held_request_gets_its_route_when_it_leaves(
    names: dict[str, tuple[str, ...]], body: bytes
) -> None:
    """
    Until then a function of a stub would see the password of the upstream proxy, and the name of a
    host that is stubbed is not looked up.
    """
    names["example.org"] = ("10.0.0.1",)
    chain = UpstreamChain(http="allow")
    chain.stub(host="example.org", content="dGhpcw==")
    flow = chain.send(scheme="http", port=80, method="POST")
    connection = chain.registry.connection(flow.client_conn)
    assert connection is not None
    assert (flow.response, flow.server_conn.via, connection.approved) == (None, None, {})
    assert "proxy-authorization" not in flow.request.headers

    chain.end_request(flow, body)
    chain.upstream.request(flow)
    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        runner.run(chain.far.request(flow))

    leaves = body == b"that"
    assert (flow.server_conn.via == VIA) == leaves
    assert ("proxy-authorization" in flow.request.headers) == leaves
    judgement = Judgement.of(flow)
    assert judgement is not None
    assert judgement.decision.reason == ("private-address" if leaves else None)


def test_the_address_guard_allows_exactly_this_proxy(names: dict[str, tuple[str, ...]]) -> None:
    """
    Its address is private, and allowed only for an approved request that goes there.
    """
    chain = UpstreamChain()
    guard = AddressGuard(chain.registry)
    stranger = chain.connect(("example.org", 443))
    client = chain.send().client_conn

    for who, address, error in (
        (client, ("10.0.0.5", 3128), None),
        (client, ("10.0.0.5", 3129), "it was not approved"),
        (client, ("10.0.0.6", 3128), "it was not approved"),
        (stranger.client, ("10.0.0.5", 3128), "it was not approved"),
    ):
        data = ServerConnectionHookData(server=Server(address=address), client=who)
        contextvars.copy_context().run(guard.server_connect, data)
        assert error == data.server.error


def test_the_name_of_the_upstream_proxy_may_lead_to_private_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The user named this proxy.
    """
    found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.5", 3128))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [found])
    chain = AddonChain()
    chain.registry.upstream = ("proxy.example", 3128)
    connection = chain.connect(("example.org", 443))
    connection.approved["proxy.example", 3128] = RequestFacts("example.org")
    server = Server(address=("proxy.example", 3128))

    async def resolve() -> list[Any]:
        data = ServerConnectionHookData(server=server, client=connection.client)
        AddressGuard(chain.registry).server_connect(data)
        return await asyncio.get_running_loop().getaddrinfo(*server.address)

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        assert runner.run(resolve()) == [found]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ((), None),
        (("192.0.2.1",), None),
        (("10.0.0.1", "192.0.2.1"), None),
        (("10.0.0.1", "fd00::1"), "private-address"),
    ],
)
def test_names_that_lead_only_to_private_addresses_are_refused(
    names: dict[str, tuple[str, ...]], found: tuple[str, ...], reason: str | None
) -> None:
    """
    The second request is refused without another look-up.
    """
    chain = UpstreamChain()
    names["example.org"] = found
    for _ in range(2):
        flow = chain.send(headers=((b"transfer-encoding", b"chunked"),))
        judgement = Judgement.of(flow)
        assert judgement is not None
        assert judgement.decision.reason == reason
        assert (flow.response is None) == (reason is None)
        assert not (flow.response and flow.request.stream)


def test_a_slow_resolver_does_not_delay_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The name passes: the upstream proxy resolves it, or fails.
    """

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "getaddrinfo", never)
    monkeypatch.setattr(upstream, "_LOOKUP_SECONDS", 0.01)

    assert UpstreamChain().send().response is None


def test_the_cache_of_names_is_bounded(
    names: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A workspace may ask for any number of names.
    """
    monkeypatch.setattr(upstream, "_CACHE_SIZE", 3)
    chain = UpstreamChain()
    for number in range(9):
        chain.send(host=f"h{number}.example")

    assert list(chain.far._cache) == ["h6.example", "h7.example", "h8.example"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("x refused HTTP CONNECT request: 407 Authentication", "asks for a password; add user"),
        ("x refused HTTP CONNECT request: 403 Forbidden", "refused the tunnel with 403; ask"),
        (
            "Certificate verify failed: self-signed",
            "add its certificate authority to SSL_CERT_FILE",
        ),
        ("Connect call failed", "did not connect (Connect call failed); check"),
    ],
)
def test_errors_name_the_proxy_and_what_to_check(
    names: dict[str, tuple[str, ...]], error: str, words: str
) -> None:
    """
    The explanation never has the password.
    """
    chain = UpstreamChain()
    explanation = chain.upstream.explain(chain.send(), error)

    assert "the upstream proxy http://10.0.0.5:3128 " in explanation
    assert words in explanation
    assert "hush" not in explanation


def test_errors_of_other_servers_are_left_alone(names: dict[str, tuple[str, ...]]) -> None:
    """
    That includes a 407 from a server that was reached directly.
    """
    chain = UpstreamChain(http="allow")
    flow = chain.send(host="direct.example", scheme="http", port=80)
    flow.server_conn = Server(address=("direct.example", 80))
    flow.response = http.Response.make(407)
    chain.upstream.responseheaders(flow)
    chain.upstream.response(flow)

    assert chain.upstream.explain(flow, "it broke") == "it broke"
    assert flow.response.status_code == 407
