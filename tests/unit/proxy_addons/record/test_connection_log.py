"""The log of what happens apart from requests."""

from __future__ import annotations

import pytest
from mitmproxy import tls
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context

from tests.helpers.flows import AddonChain

TUNNEL = ("example.org", 443)


@pytest.mark.parametrize(
    ("encrypted", "words"), [(True, "REQUESTS_CA_BUNDLE"), (False, "anything")]
)
def test_a_tunnel_without_a_request_is_explained(encrypted: bool, words: str) -> None:
    """
    A client that leaves after TLS probably does not trust the certificate.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)
    connection.client.tls = encrypted
    chain.disconnect(connection)

    [event] = chain.events
    assert (event["method"], event["verdict"], event["reason"]) == ("CONNECT", "failed", None)
    assert words in event["explanation"]


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        ("tlsv1 alert unknown ca", "failed", None),
        ("Cannot parse ClientHello: 1603", "blocked", "not-tls"),
    ],
)
def test_a_failed_handshake_is_logged_once(error: str, verdict: str, reason: str | None) -> None:
    """
    The verdict depends on what went wrong.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)
    connection.client.error = error
    context = Context(connection.client, Options())
    chain.connection_logger.tls_failed_client(tls.TlsData(connection.client, context))
    chain.disconnect(connection)

    [event] = chain.events
    assert (event["verdict"], event["reason"]) == (verdict, reason)
