"""
Route traffic through an upstream proxy, such as a company's.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pytest_codex_workspace.network.rules.hosts import literal_address
from pytest_codex_workspace.network.rules.policy import Decision, decide

from ..state import responses
from ..state.judgement import Judgement, is_released

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.rules.upstream import UpstreamProxy

    from ..state.connections import ConnectionRegistry, RegisteredWorkspace, WorkspaceConnection
    from ..state.responses import OnFailure
    from .addresses import GuardedEventLoop

__all__ = ["UpstreamNameGuard", "UpstreamRouter"]

_AUTHORIZATION = "proxy-authorization"
_DENIED = 407
_REFUSED = re.compile(r"refused HTTP CONNECT request: (?P<status>\d{3})")
_LOOKUP_SECONDS = 2.0
_CACHE_SECONDS = 60.0
_CACHE_SIZE = 1000


class UpstreamRouter:
    """
    Send approved requests to the upstream proxy. An addon, behind the gate and
    before the request log.

    Args:
        proxy: the upstream proxy.
        registry: knows the connections.
    """

    def __init__(self, proxy: UpstreamProxy, registry: ConnectionRegistry) -> None:
        self._proxy = proxy
        self._registry = registry
        registry.upstream = proxy.address

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Choose the route of a request: through the upstream proxy or direct.
        """
        connection, judgement = self._registry.connection(flow.client_conn), Judgement.of(flow)
        if connection is None or judgement is None or not judgement.decision.allowed:
            return
        request, proxy = flow.request, self._proxy
        # An earlier request of this connection may have set it.
        flow.server_conn.via = None
        if proxy.bypasses(request.host, request.port):
            return
        flow.server_conn.via = (proxy.scheme, proxy.address)  # type: ignore[assignment]
        connection.approved[proxy.address] = judgement.facts
        if request.scheme == "http":
            self._authorize(request)

    def request(self, flow: http.HTTPFlow) -> None:
        """
        Choose the route of a request that was held until now.
        """
        if is_released(flow):
            self.requestheaders(flow)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """
        Authenticate to the upstream proxy when a tunnel is opened there.
        """
        self._authorize(flow.request)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Mark a plain request as failed if the upstream proxy asks for a password.
        """
        judgement = Judgement.of(flow)
        if judgement and flow.response and self._is_denied(flow):
            error = self.explain(flow, "407 Proxy Authentication Required")
            judgement.decision = Decision("failed", "upstream-error", _sentence(error))

    def response(self, flow: http.HTTPFlow) -> None:
        """
        Replace the upstream proxy's 407 by our response.

        The workspace is not meant to authenticate there.
        """
        judgement = Judgement.of(flow)
        if judgement and self._is_denied(flow):
            flow.response = responses.failed_response(judgement.decision)

    def explaining(self, on_failure: OnFailure) -> OnFailure:
        """
        Return *on_failure* with errors of the upstream proxy explained.
        """
        return lambda flow, error: on_failure(flow, self.explain(flow, error))

    def explain(self, flow: http.HTTPFlow, error: str) -> str:
        """
        Return *error*, with the upstream proxy's address and advice if that proxy was involved.
        """
        server = flow.server_conn
        if server.via is None and server.address != self._proxy.address:
            return error
        refused = _REFUSED.search(error)
        status = refused["status"] if refused else error[:3]
        if status == str(_DENIED):
            problem, advice = "asks for a password", "add user and password to its URL"
        elif refused:
            problem = f"refused the tunnel with {status}"
            advice = (
                "ask its administrator, or add the host to NO_PROXY if it can be reached directly"
            )
        elif "verify failed" in error:
            problem = f"returned a certificate that is not trusted ({error})"
            advice = "if it decrypts traffic, add its certificate authority to SSL_CERT_FILE"
        else:
            problem = f"did not connect ({error})"
            advice = "check that it is up and that containers can reach it"
        return (
            f"the upstream proxy {self._proxy} {problem}; {advice} (HTTPS_PROXY, or the option "
            "upstream-proxy)"
        )

    def _is_denied(self, flow: http.HTTPFlow) -> bool:
        return (
            flow.response is not None
            and flow.response.status_code == _DENIED
            and flow.request.scheme == "http"
            and flow.server_conn.address == self._proxy.address
        )

    def _authorize(self, request: http.Request) -> None:
        # Never pass on credentials that the workspace sends for the proxy.
        request.headers.pop(_AUTHORIZATION, None)
        if self._proxy.authorization is not None:
            request.headers[_AUTHORIZATION] = self._proxy.authorization


class UpstreamNameGuard:
    """
    Refuse names that lead only to private addresses. An addon, behind the request
    log, because it takes time.

    The upstream proxy resolves names itself, so this is the best possible check here.
    Names that do not resolve here, or not in time, pass; how the upstream proxy
    resolves them is beyond our control. The gate has judged literal addresses before.
    """

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry
        self._cache: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Judge a request by the addresses that this machine's resolver returns.
        """
        connection, judgement = self._registry.connection(flow.client_conn), Judgement.of(flow)
        if connection is None or judgement is None or not judgement.decision.allowed:
            return
        host = flow.request.host
        if flow.server_conn.via is None or literal_address(host) is not None:
            return
        facts = replace(judgement.facts, addresses=await self._addresses(host, connection))
        decision = decide(facts, connection.workspace.policy)
        if not decision.allowed:
            judgement.decision = decision
            # The body of a refused request must not be streamed.
            flow.request.stream = False
            flow.response = responses.blocked_response(decision)

    async def request(self, flow: http.HTTPFlow) -> None:
        """
        Judge a request that was held until now.
        """
        if is_released(flow):
            await self.requestheaders(flow)

    async def _addresses(self, host: str, connection: WorkspaceConnection) -> tuple[str, ...]:
        now = time.monotonic()
        until, found = self._cache.pop(host, (0.0, ()))
        if now >= until:
            until, found = now + _CACHE_SECONDS, await _look_up(host, connection.workspace)
        self._cache[host] = until, found
        while len(self._cache) > _CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        return found


async def _look_up(host: str, workspace: RegisteredWorkspace) -> tuple[str, ...]:
    """
    Return the addresses of *host*, none if the look-up fails or takes too long.
    """
    loop = cast("GuardedEventLoop", asyncio.get_running_loop())
    # The loop's own look-up is for approved connections only.
    lookup = asyncio.SelectorEventLoop.getaddrinfo(loop, host, None, type=socket.SOCK_STREAM)
    try:
        found = await loop.lookups.run(workspace.address, lookup, _LOOKUP_SECONDS)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
