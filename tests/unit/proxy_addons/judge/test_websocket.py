"""Switches of protocol."""

from __future__ import annotations

import pytest
from mitmproxy import http

from proxy_addons.judge.websocket import UpgradeGuard, asks_for_websocket, strip_upgrade
from proxy_addons.state.judgement import Judgement
from pytest_codex_workspace.network.rules.policy import Policy
from tests.helpers.flows import AddonChain

TUNNEL = ("example.org", 443)


HOST = (b"Host", b"example.org")


@pytest.mark.parametrize(
    ("connection", "rest"),
    [("Upgrade", None), ("keep-alive, Upgrade, HTTP2-Settings", "keep-alive")],
)
def test_other_upgrades_are_stripped(connection: str, rest: str | None) -> None:
    """
    The server never learns that the client asked for another protocol.
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
    Header fields change only if there is an upgrade to remove.
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
def test_an_unrequested_101_is_aborted(policy: Policy, asked: bool, killed: bool) -> None:
    """
    A 101 that the client did not ask for ends the exchange, whatever the policy.
    """
    chain = AddonChain(policy)
    headers = (HOST, (b"Upgrade", b"websocket")) if asked else (HOST,)
    flow = chain.flow(chain.connect(TUNNEL), headers=headers)
    chain.request(flow)
    flow.response = http.Response.make(101)
    UpgradeGuard(chain.registry).responseheaders(flow)
    judgement = Judgement.of(flow)

    assert killed == (flow.error is not None)
    assert judgement is not None
    assert judgement.decision.allowed != killed
    if killed:
        chain.request_logger.error(flow)
        assert chain.events[0]["reason"] == "websocket"
        assert chain.events[0]["status"] is None
