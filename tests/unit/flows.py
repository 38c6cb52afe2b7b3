"""Registered connections and flows on them, without any proxy."""

from __future__ import annotations

from typing import Any

from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.test import tflow

from proxy_addons.judge.gate import Gate
from proxy_addons.record.connection_log import Incidents
from proxy_addons.record.events import Journal
from proxy_addons.record.request_log import Recorder
from proxy_addons.state.connections import Conversation, Registry
from pytest_codex_workspace.network.policy import HTTPS_ONLY, Policy

ADDRESS = "172.30.0.9"


class World:
    """
    The addons that judge and record, with one workspace called `w1`.
    """

    def __init__(self, policy: Policy = HTTPS_ONLY) -> None:
        self.events: list[dict[str, Any]] = []
        self.registry = Registry(policy)
        self.registry.register(ADDRESS, "w1", "test")
        self.gate = Gate(self.registry)
        journal = Journal(self.events.append)
        self.recorder = Recorder(self.registry, journal)
        self.incidents = Incidents(self.registry, journal)

    def connect(
        self,
        tunnel: tuple[str, int] | None = None,
        *,
        sni: str | None = None,
        alpn: bytes = b"http/1.1",
    ) -> Conversation:
        """
        A connection of the workspace; with *tunnel*, one inside TLS.
        """
        client = tflow.tclient_conn()
        client.peername = (ADDRESS, 40000)
        client.error = None
        client.sni = sni if tunnel else None
        client.alpn = alpn if tunnel else None
        client.tls = tunnel is not None
        client.timestamp_tls_setup = 1.0 if tunnel else None
        self.registry.client_connected(client)
        conversation = self.registry.conversation(client)
        assert conversation is not None
        conversation.tunnel = tunnel
        return conversation

    def flow(
        self,
        conversation: Conversation,
        *,
        method: str = "GET",
        host: str = "example.org",
        port: int = 443,
        scheme: str = "https",
        path: str = "/",
        version: str = "HTTP/1.1",
        authority: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = ((b"Host", b"example.org"),),
    ) -> http.HTTPFlow:
        """
        A request on that connection, as mitmproxy would hand it to an addon.
        """
        flow = tflow.tflow(client_conn=conversation.client)
        flow.request = http.Request(
            host=host,
            port=port,
            method=method.encode(),
            scheme=scheme.encode(),
            authority=authority.encode(),
            path=path.encode(),
            http_version=version.encode(),
            headers=http.Headers(headers),
            content=None,
            trailers=None,
            timestamp_start=100.0,
            timestamp_end=None,
        )
        flow.server_conn.sni = None
        flow.live = True
        return flow

    def request(self, flow: http.HTTPFlow) -> str | None:
        """
        Send a request through the chain: the reason it is refused for.
        """
        self.gate.requestheaders(flow)
        self.recorder.requestheaders(flow)
        return flow.response.headers["x-codex-workspace-reason"] if flow.response else None

    def disconnect(self, conversation: Conversation) -> None:
        """
        End a connection.
        """
        conversation.client.state = ConnectionState.CLOSED
        self.recorder.client_disconnected(conversation.client)
        self.incidents.client_disconnected(conversation.client)
