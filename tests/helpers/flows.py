"""Registered connections and flows on them, without a running proxy."""

from __future__ import annotations

import asyncio
from typing import Any

from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.test import tflow

from proxy_addons.answer.stub_functions import StubFunctions
from proxy_addons.judge.gate import Gate
from proxy_addons.record.connection_log import ConnectionLogger
from proxy_addons.record.events import EventWriter
from proxy_addons.record.request_log import RequestLogger
from proxy_addons.state.connections import ConnectionRegistry, WorkspaceConnection
from proxy_addons.state.routes import ProxyRoute
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, Policy

ADDRESS = "172.30.0.9"


class AddonChain:
    """
    The addons that judge and record, with one workspace called `w1`.
    """

    def __init__(self, policy: Policy = HTTPS_ONLY) -> None:
        self.events: list[dict[str, Any]] = []
        self.registry = ConnectionRegistry(policy)
        self.registry.register(ADDRESS, "w1", "test")
        self.owner = self.registry.owner(ADDRESS)
        self.functions = StubFunctions(self.events.append)
        self.gate = Gate(self.registry, self.functions)
        writer = EventWriter(self.events.append)
        self.request_logger = RequestLogger(self.registry, writer)
        self.connection_logger = ConnectionLogger(self.registry, writer)

    def connect(
        self,
        tunnel: tuple[str, int] | None = None,
        *,
        sni: str | None = None,
        alpn: bytes = b"http/1.1",
    ) -> WorkspaceConnection:
        """
        Connect as the workspace; with *tunnel*, inside TLS.
        """
        client = tflow.tclient_conn()
        client.peername = (ADDRESS, 40000)
        client.error = None
        client.sni = sni if tunnel else None
        client.alpn = alpn if tunnel else None
        client.tls = tunnel is not None
        client.timestamp_tls_setup = 1.0 if tunnel else None
        self.registry.client_connected(client)
        connection = self.registry.connection(client)
        assert connection is not None
        connection.tunnel = tunnel
        return connection

    def flow(
        self,
        connection: WorkspaceConnection,
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
        Return a request on a connection as mitmproxy hands it to an addon.
        """
        flow = tflow.tflow(client_conn=connection.client)
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
        Send a request through the chain, and return the reason for which it is refused.
        """
        self.gate.requestheaders(flow)
        self.request_logger.requestheaders(flow)
        return flow.response.headers["x-codex-workspace-reason"] if flow.response else None

    def end_request(self, flow: http.HTTPFlow, body: bytes = b"") -> str | None:
        """
        Send the body of a request that is not streamed, and return the reason for which the
        request is refused.
        """
        flow.request.raw_content = body
        asyncio.run(self.gate.request(flow))
        return flow.response.headers.get("x-codex-workspace-reason") if flow.response else None

    def stub(self, **route: Any) -> None:
        """
        Add a stub, as the host describes it.
        """
        route = {"id": 1, "kind": "stub", **route}
        self.registry.add_route(ADDRESS, ProxyRoute.from_message(route))

    def disconnect(self, connection: WorkspaceConnection) -> None:
        """
        End a connection.
        """
        connection.client.state = ConnectionState.CLOSED
        self.request_logger.client_disconnected(connection.client)
        self.connection_logger.client_disconnected(connection.client)
