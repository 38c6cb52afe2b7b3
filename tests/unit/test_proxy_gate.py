"""The gate: what it makes of tunnels and requests."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.test import tflow

from proxy_addons.judge import gate as gate_module
from proxy_addons.judge.websocket import SwitchGuard, asks_for_websocket, strip_upgrade
from proxy_addons.state.judgement import Judgement
from pytest_codex_workspace.network.policy import Policy

from .flows import World

TUNNEL = ("example.org", 443)
HOST = (b"Host", b"example.org")


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("example.org", 443, None),
        ("EXAMPLE.org.", 443, None),
        ("example.org", 80, "port-not-allowed"),
        ("user@example.org", 443, "name-mismatch"),
        ("10.0.0.1", 443, "private-address"),
        ("127.1", 443, "private-address"),
        ("::1", 443, "private-address"),
    ],
)
def test_tunnels(host: str, port: int, reason: str | None) -> None:
    """
    A tunnel is judged by name and port, and an allowed one fixes the name
    that the server's certificate must have.
    """
    world = World()
    conversation = world.connect()
    flow = world.flow(conversation, method="CONNECT", host=host, port=port)

    world.gate.http_connect(flow)

    assert (conversation.tunnel is None) == (reason is not None)
    assert conversation.approved == {}
    if reason is None:
        assert flow.response is None
        assert flow.server_conn.sni == "example.org"
    else:
        assert flow.response is not None
        assert flow.response.status_code == 403
        assert flow.response.headers["x-codex-workspace-reason"] == reason


@pytest.mark.parametrize(
    ("changes", "sni", "reason"),
    [
        ({}, None, None),
        ({}, "example.org", None),
        ({}, "EXAMPLE.ORG", None),
        ({}, "other.example", "name-mismatch"),
        ({"headers": ()}, None, None),
        ({"headers": ((b"host", b"example.org:443"),)}, None, None),
        ({"headers": ((b"host", b"example.org:8443"),)}, None, "name-mismatch"),
        ({"headers": ((b"host", b"other.example"),)}, None, "name-mismatch"),
        ({"headers": ((b"host", b""),)}, None, "name-mismatch"),
        ({"headers": ((b"host", b"example.org\xff"),)}, None, "name-mismatch"),
        ({"headers": (HOST, HOST)}, None, "name-mismatch"),
        ({"headers": (HOST, (b"HOST", b"other.example"))}, None, "name-mismatch"),
        ({"authority": "example.org"}, None, None),
        ({"authority": "other.example"}, None, "name-mismatch"),
        ({"authority": "user@example.org"}, None, "name-mismatch"),
        ({"method": "connect"}, None, "not-tls"),
        ({"version": "HTTP/2.0"}, None, "not-tls"),
        ({"version": "HTTP/0.9"}, None, "not-tls"),
        ({"headers": (HOST, (b"Upgrade", b"h2c, WebSocket"))}, None, "websocket"),
        ({"headers": (HOST, (b"Upgrade", b"x"), (b"upgrade", b"websocket"))}, None, "websocket"),
        ({"headers": (HOST, (b"Sec-WebSocket-Key", b"x"))}, None, "websocket"),
        ({"headers": (HOST, (b"Upgrade", b"h2c"))}, None, None),
    ],
)
def test_requests_inside_tls(changes: dict[str, Any], sni: str | None, reason: str | None) -> None:
    """
    All names of a request must agree, and it must ask for HTTP only.
    """
    world = World()
    conversation = world.connect(TUNNEL, sni=sni)

    assert reason == world.request(world.flow(conversation, **changes))
    assert (TUNNEL in conversation.approved) == (reason is None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"authority": "example.org", "headers": ()}, None),
        ({"authority": "other.example", "headers": ()}, "name-mismatch"),
        ({"authority": "example.org", "headers": ((b"host", b"other"),)}, "name-mismatch"),
        ({"version": "HTTP/1.1"}, "not-tls"),
    ],
)
def test_requests_over_http2(changes: dict[str, Any], reason: str | None) -> None:
    """
    `:authority` is one more name that must agree.
    """
    world = World()
    conversation = world.connect(TUNNEL, sni="example.org", alpn=b"h2")

    assert reason == world.request(world.flow(conversation, **{"version": "HTTP/2.0", **changes}))


@pytest.mark.parametrize(
    ("policy", "changes", "reason"),
    [
        (Policy(), {"scheme": "http", "port": 80}, "plain-http"),
        (Policy(), {"scheme": "https"}, "not-tls"),
        (Policy(http="allow"), {"scheme": "https"}, "not-tls"),
        (Policy(http="allow"), {"scheme": "http", "port": 80}, None),
        (Policy(http="allow"), {"scheme": "http", "port": 80, "method": "connect"}, "plain-http"),
        (Policy(http="allow"), {"scheme": "http", "port": 80, "host": "x.org"}, "name-mismatch"),
    ],
)
def test_requests_in_clear(policy: Policy, changes: dict[str, Any], reason: str | None) -> None:
    """
    An `https://` target sent in clear text is no HTTPS.
    """
    world = World(policy)

    assert reason == world.request(world.flow(world.connect(), **changes))


def test_every_request_is_judged_on_its_own() -> None:
    """
    A good first request opens no door for the second.
    """
    world = World()
    conversation = world.connect(TUNNEL)

    assert world.request(world.flow(conversation)) is None
    assert world.request(world.flow(conversation, headers=((b"host", b"x"),))) == "name-mismatch"


def test_what_cannot_be_judged_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    mitmproxy would go on after an exception; the gate does not.
    """
    world = World()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gate_module, "decide", broken)
    flow = world.flow(world.connect(TUNNEL))

    assert world.request(flow) == "not-tls"
    assert "could not be judged" in caplog.text


def test_a_connection_nobody_knows_is_refused() -> None:
    """
    Even if it got past the registry.
    """
    world = World()
    flow = tflow.tflow()
    world.gate.http_connect(flow)

    assert flow.response is not None
    assert flow.response.status_code == 403


def test_an_unregistered_address_is_not_admitted(caplog: pytest.LogCaptureFixture) -> None:
    """
    Its connection is closed before it can say anything.
    """
    world = World()
    client = tflow.tclient_conn()
    client.peername = ("172.30.0.200", 1)
    world.registry.client_connected(client)

    assert client.error == "not registered"
    assert "172.30.0.200" in caplog.text


def test_registering_twice() -> None:
    """
    The same workspace changes its phase, another one must wait.
    """
    world = World()
    world.registry.register("172.30.0.9", "w1", "resume")

    assert world.registry.workspace("172.30.0.9").phase == "resume"
    with pytest.raises(ValueError, match="still belongs to workspace w1; release it first"):
        world.registry.register("172.30.0.9", "w2", "test")
    with pytest.raises(ValueError, match="not registered"):
        world.registry.set_policy("172.30.0.8", Policy())


@pytest.mark.parametrize(
    ("headers", "streams"),
    [
        ((HOST,), False),
        ((HOST, (b"content-length", b"10")), False),
        ((HOST, (b"content-length", b"99999999")), True),
        ((HOST, (b"transfer-encoding", b"chunked")), True),
    ],
)
def test_large_bodies_pass_through(headers: Any, streams: bool) -> None:
    """
    After the verdict, so that memory is bounded and nothing leaves before.
    """
    world = World()
    flow = world.flow(world.connect(TUNNEL), method="POST", headers=headers)
    world.request(flow)

    assert streams == flow.request.stream


def test_a_malformed_request_is_judged_but_not_answered_twice() -> None:
    """
    mitmproxy answers those itself.
    """
    world = World()
    flow = world.flow(world.connect(TUNNEL))
    flow.error = Error("invalid header")
    world.request(flow)
    world.recorder.error(flow)

    assert flow.response is None
    assert world.events[0]["verdict"] == "blocked"
    assert world.events[0]["reason"] == "not-tls"


@pytest.mark.parametrize(
    ("connection", "rest"),
    [("Upgrade", None), ("keep-alive, Upgrade, HTTP2-Settings", "keep-alive")],
)
def test_other_upgrades_are_stripped(connection: str, rest: str | None) -> None:
    """
    The server never learns that another protocol was asked for.
    """
    headers = http.Headers(
        [(b"Connection", connection.encode()), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"x")]
    )
    strip_upgrade(headers)

    assert rest == headers.get("connection")
    assert "upgrade" not in headers
    assert "http2-settings" not in headers


def test_a_request_without_upgrade_keeps_its_headers() -> None:
    """
    Nothing is touched without need.
    """
    headers = http.Headers([(b"Connection", b"close")])
    strip_upgrade(headers)

    assert headers["connection"] == "close"
    assert not asks_for_websocket(headers)


@pytest.mark.parametrize(
    ("policy", "asked", "killed"),
    [
        (Policy(), False, True),
        (Policy(websocket="allow"), False, True),
        (Policy(websocket="allow"), True, False),
    ],
)
def test_a_switch_of_protocols(policy: Policy, asked: bool, killed: bool) -> None:
    """
    A 101 that nobody asked for ends the exchange, whatever the policy.
    """
    world = World(policy)
    headers = (HOST, (b"Upgrade", b"websocket")) if asked else (HOST,)
    flow = world.flow(world.connect(TUNNEL), headers=headers)
    world.request(flow)
    flow.response = http.Response.make(101)
    SwitchGuard(world.registry).responseheaders(flow)
    judgement = Judgement.of(flow)

    assert killed == (flow.error is not None)
    assert judgement is not None
    assert judgement.decision.allowed != killed
    if killed:
        world.recorder.error(flow)
        assert world.events[0]["reason"] == "websocket"
        assert world.events[0]["status"] is None
