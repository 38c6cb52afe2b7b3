"""The gate: how it judges tunnels and requests."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.test import tflow

from proxy_addons.judge import gate as gate_module
from proxy_addons.state.judgement import Judgement
from pytest_codex_workspace.network.rules.policy import Policy
from tests.helpers.flows import ADDRESS, AddonChain

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
def test_tunnels_are_judged_by_name_and_port(host: str, port: int, reason: str | None) -> None:
    """
    An allowed tunnel fixes the name that the server's certificate must have.
    """
    chain = AddonChain()
    connection = chain.connect()
    flow = chain.flow(connection, method="CONNECT", host=host, port=port)

    chain.gate.http_connect(flow)

    assert (connection.tunnel is None) == (reason is not None)
    assert connection.approved == {}
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
def test_all_names_of_a_request_must_agree(
    changes: dict[str, Any], sni: str | None, reason: str | None
) -> None:
    """
    A request inside TLS may not ask for another protocol either.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL, sni=sni)

    assert reason == chain.request(chain.flow(connection, **changes))
    assert (TUNNEL in connection.approved) == (reason is None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"authority": "example.org", "headers": ()}, None),
        ({"authority": "other.example", "headers": ()}, "name-mismatch"),
        ({"authority": "example.org", "headers": ((b"host", b"other"),)}, "name-mismatch"),
        ({"version": "HTTP/1.1"}, "not-tls"),
    ],
)
def test_the_authority_of_http2_must_agree(changes: dict[str, Any], reason: str | None) -> None:
    """
    `:authority` is one more name of the request.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL, sni="example.org", alpn=b"h2")

    assert reason == chain.request(chain.flow(connection, **{"version": "HTTP/2.0", **changes}))


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
def test_an_https_target_sent_in_clear_is_not_encrypted(
    policy: Policy, changes: dict[str, Any], reason: str | None
) -> None:
    """
    The gate looks at the connection, not at the scheme that a request names.
    """
    chain = AddonChain(policy)

    assert reason == chain.request(chain.flow(chain.connect(), **changes))


def test_every_request_is_judged_on_its_own() -> None:
    """
    An allowed first request does not open the connection for the second.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)

    assert chain.request(chain.flow(connection)) is None
    assert chain.request(chain.flow(connection, headers=((b"host", b"x"),))) == "name-mismatch"


def test_an_error_of_the_gate_refuses_the_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    mitmproxy would go on after an exception; the gate does not.
    """
    chain = AddonChain()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gate_module, "decide", broken)
    flow = chain.flow(chain.connect(TUNNEL))

    assert chain.request(flow) == "not-tls"
    assert "could not be judged" in caplog.text


def test_an_unknown_connection_is_refused() -> None:
    """
    The gate refuses a connection that the registry does not know.
    """
    chain = AddonChain()
    flow = tflow.tflow()
    chain.gate.http_connect(flow)

    assert flow.response is not None
    assert flow.response.status_code == 403


@pytest.mark.parametrize(
    ("headers", "streams"),
    [
        ((HOST,), False),
        ((HOST, (b"content-length", b"10")), False),
        ((HOST, (b"content-length", b"99999999")), True),
        ((HOST, (b"transfer-encoding", b"chunked")), True),
    ],
)
def test_large_bodies_are_streamed(headers: Any, streams: bool) -> None:
    """
    Streaming begins after the verdict, so memory is bounded and nothing leaves before it.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL), method="POST", headers=headers)
    chain.request(flow)

    assert streams == flow.request.stream


def test_a_malformed_request_gets_a_response_of_ours() -> None:
    """
    The page that mitmproxy would send says neither who refuses nor why.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL))
    flow.error = Error("invalid header")
    reason = chain.request(flow)
    chain.request_logger.error(flow)

    assert reason == "not-tls"
    [event] = chain.events
    assert (event["verdict"], event["reason"], event["status"]) == ("blocked", "not-tls", 403)


@pytest.mark.parametrize(
    ("fields", "forwarded"),
    [
        ({}, b"Host: example.org"),
        ({"headers": ()}, b"Host: example.org"),
        ({"headers": ((b"HOST", b"EXAMPLE.org"),)}, b"HOST: example.org"),
        ({"headers": ((b"Host", b"example.org."),)}, b"Host: example.org"),
        ({"headers": ((b"Host", b"example.org:443"),)}, b"Host: example.org:443"),
        ({"headers": ((b"Host", b"example.org:00443"),)}, b"Host: example.org:443"),
        ({"headers": ((b"Host", "example\uff0eorg".encode()),)}, b"Host: example.org"),
        ({"headers": ((b"Host", "ex\u212bmple.org".encode()),)}, None),
        ({"headers": ((b"Host", b"me@example.org"),)}, None),
        ({"headers": ((b"Host", b"ex%61mple.org"),)}, None),
        ({"headers": ((b"Host", b"example.org:"),)}, None),
        ({"headers": ((b"Host", b" example.org"),)}, None),
        ({"authority": "EXAMPLE.org:0443"}, b"Host: example.org:443"),
        ({"authority": "example.org", "headers": ()}, b"Host: example.org"),
        ({"authority": "example.org/x"}, None),
    ],
)
def test_the_names_that_were_judged_are_sent_on(
    fields: dict[str, Any], forwarded: bytes | None
) -> None:
    """
    Whatever spelling a client chose, the server reads the name that was compared.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL, sni="Example.ORG"), **fields)
    refused = chain.request(flow)

    assert (refused is None) == (forwarded is not None)
    if forwarded is not None:
        assert flow.request.data.authority == b""
        [name] = [pair for pair in flow.request.headers.fields if pair[0].lower() == b"host"]
        assert b": ".join(name) == forwarded


@pytest.mark.parametrize("written", ["Example.ORG:00443", "example\u3002org:443"])
def test_the_authority_that_was_judged_is_sent_on(written: str) -> None:
    """
    HTTP/2 has the name in a pseudo-header, and some clients in both.
    """
    chain = AddonChain()
    flow = chain.flow(
        chain.connect(TUNNEL, alpn=b"h2"),
        version="HTTP/2.0",
        authority=written,
        headers=((b"host", b"EXAMPLE.ORG"),),
    )

    assert chain.request(flow) is None
    assert flow.request.data.authority == b"example.org:443"
    assert flow.request.headers.fields == ((b"host", b"example.org:443"),)


@pytest.mark.parametrize(
    ("asked", "connected"),
    [
        ("EXAMPLE.org.", "example.org"),
        ("ex\uff41mple.org", "example.org"),
        ("0x5db8d822", "93.184.216.34"),
        ("[2606:2800:0220::1]", "2606:2800:220::1"),
        ("[::ffff:93.184.216.34]", "93.184.216.34"),
    ],
)
def test_a_tunnel_leads_to_the_host_that_was_judged(asked: str, connected: str) -> None:
    """
    The name that is looked up and expected in the certificate is the one that was compared.
    """
    chain = AddonChain()
    connection = chain.connect()
    flow = chain.flow(connection, method="CONNECT", host=asked)
    chain.gate.http_connect(flow)

    assert flow.response is None
    assert connection.tunnel == (connected, 443)
    assert (flow.request.host, flow.server_conn.sni) == (connected, connected)


@pytest.mark.parametrize("host", ["0x5db8d822", "93.184.55330", "[::ffff:5db8:d822]"])
def test_an_address_is_denied_in_every_spelling(host: str) -> None:
    """
    A denied address is one address, not one text.
    """
    chain = AddonChain(Policy(deny=("93.184.216.34",)))
    flow = chain.flow(chain.connect(), method="CONNECT", host=host)
    chain.gate.http_connect(flow)

    assert flow.response is not None
    assert flow.response.headers["x-codex-workspace-reason"] == "host-not-allowed"


def test_an_error_in_the_search_for_a_stub_refuses_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    An earlier approval of the same target does not help.
    """
    chain = AddonChain()
    connection = chain.connect(("example.org", 443), sni="example.org")
    assert chain.request(chain.flow(connection)) is None
    monkeypatch.setattr("proxy_addons.judge.gate.find_stub", lambda *_: 1 / 0)

    assert chain.request(chain.flow(connection)) == "not-tls"


OFFLINE = Policy(offline=True)
THIS = {"host": "example.org", "content": "dGhpcw=="}
"""A stub for requests whose body is `this`."""


@pytest.mark.parametrize(
    "headers",
    [
        (HOST,),
        (HOST, (b"content-length", b"4")),
        (HOST, (b"content-length", b"200000")),
        (HOST, (b"transfer-encoding", b"chunked")),
    ],
)
@pytest.mark.parametrize(
    ("policy", "body", "verdict"),
    [
        (Policy(), b"this", "stubbed"),
        (Policy(), b"that", "allowed"),
        (OFFLINE, b"this", "stubbed"),
        (OFFLINE, b"that", "blocked"),
    ],
)
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
def test_a_request_is_held_until_a_stub_has_seen_its_body(
    policy: Policy, headers: Any, body: bytes, verdict: str, version: str
) -> None:
    """
    Nothing of it is streamed, and it may lead nowhere before.
    """
    chain = AddonChain(policy)
    chain.stub(**THIS)
    connection = chain.connect(TUNNEL, alpn=b"h2" if version == "HTTP/2.0" else b"http/1.1")
    flow = chain.flow(connection, method="POST", headers=headers, version=version)

    assert chain.request(flow) is None
    judgement = Judgement.of(flow)
    assert judgement is not None
    assert not judgement.decision.allowed
    assert not flow.request.stream
    assert connection.approved == {}
    chain.end_request(flow, body)
    assert judgement.decision.verdict == verdict
    assert (flow.response is None) == (verdict == "allowed")
    assert (TUNNEL in connection.approved) == (verdict == "allowed")


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (Policy(), Policy(), None),
        (Policy(), OFFLINE, "offline"),
        (OFFLINE, Policy(), "offline"),
    ],
)
def test_what_changes_while_a_request_is_held(
    before: Policy, after: Policy, reason: str | None, removed: bool
) -> None:
    """
    It leaves only if both policies allow it, whatever becomes of the stub.
    """
    chain = AddonChain(before)
    chain.stub(**THIS)
    connection = chain.connect(TUNNEL)
    flow = chain.flow(connection, method="POST")
    assert chain.request(flow) is None
    chain.registry.set_policy(ADDRESS, after)
    if removed:
        chain.registry.remove_route(ADDRESS, 1)

    assert chain.end_request(flow, b"this" if removed else b"that") == reason
    assert (TUNNEL in connection.approved) == (reason is None)


@pytest.mark.parametrize("fault", ["gone", "find_stub", "forward_as_judged"])
def test_a_held_request_that_cannot_be_judged_is_refused(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An earlier approval of the same target does not help: its server may still be connected.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)
    assert chain.request(chain.flow(connection)) is None
    chain.stub(**THIS)
    flow = chain.flow(connection, method="POST")
    assert chain.request(flow) is None
    if fault == "gone":
        chain.registry.remove(connection.client)
    else:
        monkeypatch.setattr(f"proxy_addons.judge.gate.{fault}", lambda *_, **__: 1 / 0)

    assert chain.end_request(flow, b"that") == "not-tls"


def test_a_held_request_that_already_has_a_response_keeps_it() -> None:
    """
    A fault has answered it: no stub is used up.
    """
    chain = AddonChain()
    chain.stub(**THIS, times=1)
    flow = chain.flow(chain.connect(TUNNEL), method="POST")
    assert chain.request(flow) is None
    flow.response = http.Response.make(500)
    chain.end_request(flow, b"this")

    assert flow.response.status_code == 500
    assert chain.owner.routes[0].times == 1
