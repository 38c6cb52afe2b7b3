"""From flows to the events of requests."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.flow import Error

from proxy_addons.state.judgement import note_server_ended
from pytest_codex_workspace.network.messages import request_from
from pytest_codex_workspace.network.rules.policy import Decision, Policy
from tests.helpers.flows import AddonChain

TUNNEL = ("example.org", 443)


def test_an_allowed_request_has_all_fields() -> None:
    """
    The size is counted while the response streams.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL), path="/a?token=x&b=1")
    chain.request(flow)
    assert len(chain.request_logger.open_requests(chain.owner)) == 1
    flow.response = http.Response.make(200)
    chain.request_logger.responseheaders(flow)
    assert callable(flow.response.stream)
    assert [flow.response.stream(part) for part in (b"abc", b"de", b"")] == [b"abc", b"de", b""]
    flow.response.data.content = None
    chain.request_logger.response(flow)
    chain.request_logger.error(flow)

    [event] = chain.events
    request = request_from(event)
    assert event["workspace"] == "w1"
    assert (request.id, request.time, request.phase) == (1, 100.0, "test")
    assert (request.method, request.status, request.size) == ("GET", 200, 5)
    assert request.url == "https://example.org/a?token=REDACTED&b=1"
    assert (request.verdict, request.reason, request.explanation) == ("allowed", None, "")
    assert request.duration is not None
    assert chain.request_logger.open_requests(chain.owner) == []


def test_a_refused_request_is_logged_with_its_reason() -> None:
    """
    The response of the proxy itself is not streamed.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(), scheme="http", port=80, path="/p")
    chain.request(flow)
    chain.request_logger.responseheaders(flow)
    chain.request_logger.response(flow)

    [event] = chain.events
    assert not flow.response.stream
    assert event["url"] == "http://example.org/p"
    assert (event["status"], event["verdict"], event["reason"]) == (403, "blocked", "plain-http")
    assert "https://example.org" in event["explanation"]


def test_a_refused_tunnel_is_logged_once() -> None:
    """
    The end of the connection adds no further event.
    """
    chain = AddonChain()
    connection = chain.connect()
    flow = chain.flow(connection, method="CONNECT", host="Example.ORG", port=22)
    chain.gate.http_connect(flow)
    chain.request_logger.http_connect(flow)
    chain.disconnect(connection)

    [event] = chain.events
    assert (event["method"], event["url"]) == ("CONNECT", "https://example.org:22")
    assert (event["status"], event["reason"]) == (403, "port-not-allowed")


def test_an_allowed_tunnel_is_no_event() -> None:
    """
    The requests inside the tunnel are events.
    """
    chain = AddonChain()
    connection = chain.connect()
    flow = chain.flow(connection, method="CONNECT")
    chain.gate.http_connect(flow)
    chain.request_logger.http_connect(flow)

    assert chain.events == []


def test_a_failed_request_gets_a_502_that_explains_it() -> None:
    """
    Verdict and reason are those of the contract.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL))
    chain.request(flow)
    flow.response = chain.request_logger.respond_to_failure(
        flow, "Certificate verify failed: expired"
    )
    chain.request_logger.response(flow)

    [event] = chain.events
    assert flow.response.headers["x-codex-workspace-reason"] == "upstream-error"
    assert (event["status"], event["verdict"], event["reason"]) == (502, "failed", "upstream-error")
    assert "Certificate verify failed: expired" in event["explanation"]


def test_a_private_address_found_by_the_look_up_is_refused() -> None:
    """
    The policy refuses the address that a name leads to, so this is no failure.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)
    flow = chain.flow(connection)
    chain.request(flow)
    connection.refused[TUNNEL] = Decision("blocked", "private-address", "It leads to 10.0.0.1.")
    flow.response = chain.request_logger.respond_to_failure(flow, "refused")
    chain.request_logger.response(flow)

    [event] = chain.events
    assert flow.response.status_code == 403
    assert (event["verdict"], event["reason"]) == ("blocked", "private-address")


@pytest.mark.parametrize(
    ("message", "verdict", "reason"),
    [
        ("server closed connection", "failed", "upstream-error"),
        ("illegal chunk header: b'client'", "failed", "upstream-error"),
        ("Client disconnected.", "allowed", None),
    ],
)
def test_an_exchange_that_ended_early_has_a_verdict_by_fault(
    message: str, verdict: str, reason: str | None
) -> None:
    """
    A server that ends an exchange early has failed; a client may leave.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL))
    chain.request(flow)
    flow.response = http.Response.make(200)
    flow.error = Error(message)
    if verdict == "failed":
        note_server_ended(flow)
    chain.request_logger.error(flow)

    [event] = chain.events
    assert (event["verdict"], event["reason"]) == (verdict, reason)
    assert message in event["explanation"]


def test_a_client_that_leaves_ends_its_requests() -> None:
    """
    No barrier waits for the requests of a closed connection.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)
    flow = chain.flow(connection)
    chain.request(flow)
    chain.disconnect(connection)

    [event] = chain.events
    assert (event["verdict"], event["status"]) == ("allowed", None)
    assert chain.request_logger.open_requests(chain.owner) == []
    assert chain.registry.connection(connection.client) is None


@pytest.mark.parametrize("policy", [Policy(), Policy(offline=True)])
def test_a_request_that_ends_while_it_is_held_is_logged_as_the_policy_says(policy: Policy) -> None:
    """
    No stub has responded to it.
    """
    chain = AddonChain(policy)
    chain.stub(host="example.org", content="")
    connection = chain.connect(TUNNEL)
    chain.request(chain.flow(connection, method="POST"))
    chain.disconnect(connection)

    [event] = chain.events
    assert (event["verdict"], event["reason"], event["status"]) == (
        ("blocked", "offline", None) if policy.offline else ("allowed", None, None)
    )
