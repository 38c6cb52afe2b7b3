"""From flows to events."""

from __future__ import annotations

import pytest
from mitmproxy import http, tls
from mitmproxy.flow import Error
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context

from pytest_codex_workspace.network.policy import Decision, Policy, RequestFacts
from pytest_codex_workspace.network.wire import request_from

from .flows import ADDRESS, World

TUNNEL = ("example.org", 443)


def test_an_allowed_request() -> None:
    """
    Everything the log promises, with the size counted while it streams.
    """
    world = World()
    flow = world.flow(world.connect(TUNNEL), path="/a?token=x&b=1")
    world.request(flow)
    assert world.recorder.in_flight(ADDRESS) == 1
    flow.response = http.Response.make(200)
    world.recorder.responseheaders(flow)
    assert callable(flow.response.stream)
    assert [flow.response.stream(part) for part in (b"abc", b"de", b"")] == [b"abc", b"de", b""]
    flow.response.data.content = None
    world.recorder.response(flow)
    world.recorder.error(flow)

    [event] = world.events
    request = request_from(event)
    assert event["workspace"] == "w1"
    assert (request.id, request.time, request.phase) == (1, 100.0, "test")
    assert (request.method, request.status, request.size) == ("GET", 200, 5)
    assert request.url == "https://example.org/a?token=REDACTED&b=1"
    assert (request.verdict, request.reason, request.explanation) == ("allowed", None, "")
    assert request.duration is not None
    assert world.recorder.in_flight(ADDRESS) == 0


def test_a_refused_request() -> None:
    """
    Its own answer is not streamed, and it is logged with the refusal.
    """
    world = World()
    flow = world.flow(world.connect(), scheme="http", port=80, path="/p")
    world.request(flow)
    world.recorder.responseheaders(flow)
    world.recorder.response(flow)

    [event] = world.events
    assert not flow.response.stream
    assert event["url"] == "http://example.org/p"
    assert (event["status"], event["verdict"], event["reason"]) == (403, "blocked", "plain-http")
    assert "https://example.org" in event["explanation"]


def test_a_refused_tunnel() -> None:
    """
    One event, and nothing more when the connection ends.
    """
    world = World()
    conversation = world.connect()
    flow = world.flow(conversation, method="CONNECT", host="Example.ORG", port=22)
    world.gate.http_connect(flow)
    world.recorder.http_connect(flow)
    world.disconnect(conversation)

    [event] = world.events
    assert (event["method"], event["url"]) == ("CONNECT", "https://example.org:22")
    assert (event["status"], event["reason"]) == (403, "port-not-allowed")


def test_an_allowed_tunnel_is_no_event() -> None:
    """
    Its requests are.
    """
    world = World()
    conversation = world.connect()
    flow = world.flow(conversation, method="CONNECT")
    world.gate.http_connect(flow)
    world.recorder.http_connect(flow)

    assert world.events == []


def test_an_upstream_failure() -> None:
    """
    A 502 that says what happened; verdict and reason are CONTRACT's.
    """
    world = World()
    flow = world.flow(world.connect(TUNNEL))
    world.request(flow)
    flow.response = world.recorder.on_failure(flow, "Certificate verify failed: expired")
    world.recorder.response(flow)

    [event] = world.events
    assert flow.response.headers["x-codex-workspace-reason"] == "upstream-error"
    assert (event["status"], event["verdict"], event["reason"]) == (502, "failed", "upstream-error")
    assert "Certificate verify failed: expired" in event["explanation"]


def test_a_private_address_found_late() -> None:
    """
    What the name led to was refused: that is the policy's doing.
    """
    world = World()
    conversation = world.connect(TUNNEL)
    flow = world.flow(conversation)
    world.request(flow)
    conversation.refused[TUNNEL] = Decision("blocked", "private-address", "It leads to 10.0.0.1.")
    flow.response = world.recorder.on_failure(flow, "refused")
    world.recorder.response(flow)

    [event] = world.events
    assert flow.response.status_code == 403
    assert (event["verdict"], event["reason"]) == ("blocked", "private-address")


@pytest.mark.parametrize(
    ("message", "verdict", "reason"),
    [
        ("server closed connection", "failed", "upstream-error"),
        ("Client disconnected.", "allowed", None),
    ],
)
def test_an_exchange_that_broke_off(message: str, verdict: str, reason: str | None) -> None:
    """
    Whose fault it was decides the verdict.
    """
    world = World()
    flow = world.flow(world.connect(TUNNEL))
    world.request(flow)
    flow.response = http.Response.make(200)
    flow.error = Error(message)
    world.recorder.error(flow)

    [event] = world.events
    assert (event["verdict"], event["reason"]) == (verdict, reason)
    assert message in event["explanation"]


def test_a_client_that_leaves_ends_its_requests() -> None:
    """
    So that no barrier waits for them.
    """
    world = World()
    conversation = world.connect(TUNNEL)
    flow = world.flow(conversation)
    world.request(flow)
    world.disconnect(conversation)

    [event] = world.events
    assert (event["verdict"], event["status"]) == ("allowed", None)
    assert world.recorder.in_flight(ADDRESS) == 0
    assert world.registry.conversation(conversation.client) is None


@pytest.mark.parametrize(
    ("encrypted", "words"), [(True, "REQUESTS_CA_BUNDLE"), (False, "anything")]
)
def test_a_tunnel_without_a_request(encrypted: bool, words: str) -> None:
    """
    After TLS it is probably a client that does not trust the certificate.
    """
    world = World()
    conversation = world.connect(TUNNEL)
    conversation.client.tls = encrypted
    world.disconnect(conversation)

    [event] = world.events
    assert (event["method"], event["verdict"], event["reason"]) == ("CONNECT", "failed", None)
    assert words in event["explanation"]


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        ("tlsv1 alert unknown ca", "failed", None),
        ("Cannot parse ClientHello: 1603", "blocked", "not-tls"),
    ],
)
def test_a_failed_handshake(error: str, verdict: str, reason: str | None) -> None:
    """
    Recorded once, by what went wrong.
    """
    world = World()
    conversation = world.connect(TUNNEL)
    conversation.client.error = error
    context = Context(conversation.client, Options())
    world.incidents.tls_failed_client(tls.TlsData(conversation.client, context))
    world.disconnect(conversation)

    [event] = world.events
    assert (event["verdict"], event["reason"]) == (verdict, reason)


def test_hostile_names_are_fit_for_the_log() -> None:
    """
    Whatever a client sent, the event can be read by the host.
    """
    world = World(Policy(http="allow"))
    flow = world.flow(
        world.connect(), host="a\x1b[31m\udcff b", method="G\u20acT", path="/\x00" + "x" * 9000
    )
    world.request(flow)
    world.recorder.response(flow)

    request = request_from(world.events[0])
    assert str(request).isascii()
    assert str(request).isprintable()
    assert len(request.path) < 5000


def test_nothing_steers_a_terminal() -> None:
    """
    Neither what the proxy says of a request nor what the host makes of it has anything in it that
    cannot be printed.
    """
    world = World()
    conversation = world.connect(TUNNEL)
    raw = "G\x1b]0;pwn\x07\udcff\x9b\u202e"
    decision = Decision("blocked", "method-not-allowed", f"The method {raw} is not allowed.")
    facts = RequestFacts("example.org", method=raw)
    world.incidents.tunnel(conversation, facts, decision)

    [event] = world.events
    for value in event.values():
        assert not isinstance(value, str) or value.isprintable()
    assert r"G\x1b]0;pwn\x07\udcff\x9b\u202e" in event["explanation"]
    event["explanation"] = event["url"] = raw
    request = request_from(event)
    assert request.explanation == r"G\x1b]0;pwn\x07\udcff\x9b\u202e"
    assert str(request).isprintable()


def test_long_explanations_are_cut() -> None:
    """
    An error may repeat what a server sent.
    """
    world = World()
    flow = world.flow(world.connect(TUNNEL))
    world.request(flow)
    flow.response = world.recorder.on_failure(flow, "x" * 1_000_000)
    world.recorder.response(flow)

    assert len(world.events[0]["explanation"]) < 5000
