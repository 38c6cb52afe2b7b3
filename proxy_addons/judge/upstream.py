"""
The way out by another proxy, as companies demand it.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pytest_codex_workspace.network.hosts import literal_address
from pytest_codex_workspace.network.policy import Decision, decide

from ..state import responses as answers
from ..state.judgement import Judgement

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.upstream import UpstreamProxy

    from ..mitm.http_stream import OnFailure
    from ..state.connections import Conversation, Registry, Workspace
    from .addresses import GuardedEventLoop

__all__ = ["FarNames", "Upstream"]

_AUTHORIZATION = "proxy-authorization"
_DENIED = 407
_REFUSED = re.compile(r"refused HTTP CONNECT request: (?P<status>\d{3})")
_LOOKUP_SECONDS = 2.0
_REMEMBERED_SECONDS = 60.0
_REMEMBERED = 1000


class Upstream:
    """
    Sends approved requests to the upstream proxy. An addon, behind the gate
    and before the recorder.

    Args:
        proxy: where they go.
        registry: knows the connections.
    """

    def __init__(self, proxy: UpstreamProxy, registry: Registry) -> None:
        self._proxy = proxy
        self._registry = registry
        registry.upstream = proxy.address

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Choose the way of a request.
        """
        conversation, judgement = self._registry.conversation(flow.client_conn), Judgement.of(flow)
        if conversation is None or judgement is None or not judgement.decision.allowed:
            return
        request, proxy = flow.request, self._proxy
        # The object is that of the client's connection: an earlier request may have set it.
        flow.server_conn.via = None
        if proxy.bypasses(request.host, request.port):
            return
        flow.server_conn.via = (proxy.scheme, proxy.address)  # type: ignore[assignment]
        conversation.approved[proxy.address] = judgement.facts
        if request.scheme == "http":
            self._authorize(request)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """
        Say who is asking for a tunnel.
        """
        self._authorize(flow.request)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        A plain request that the upstream proxy did not accept has failed.
        """
        judgement = Judgement.of(flow)
        if judgement and flow.response and self._is_denied(flow):
            error = self.explain(flow, "407 Proxy Authentication Required")
            judgement.decision = Decision("failed", "upstream-error", _sentence(error))

    def response(self, flow: http.HTTPFlow) -> None:
        """
        And its answer is ours: what the workspace is told is not to log in there.
        """
        judgement = Judgement.of(flow)
        if judgement and self._is_denied(flow):
            flow.response = answers.failure(judgement.decision)

    def explaining(self, on_failure: OnFailure) -> OnFailure:
        """
        *on_failure*, told more of errors on the way through the proxy.
        """
        return lambda flow, error: on_failure(flow, self.explain(flow, error))

    def explain(self, flow: http.HTTPFlow, error: str) -> str:
        """
        *error* with the proxy's name and what to check, if it was involved.
        """
        server = flow.server_conn
        if server.via is None and server.address != self._proxy.address:
            return error
        refused = _REFUSED.search(error)
        status = refused["status"] if refused else error[:3]
        if status == str(_DENIED):
            said, advice = "asks for a password", "put user and password into its URL"
        elif refused:
            said = f"refused the tunnel with {status}"
            advice = "ask whoever runs it, or list the host in NO_PROXY if it is reached directly"
        elif "verify failed" in error:
            said = f"led to a certificate that is not trusted ({error})"
            advice = "if it decrypts traffic, name its authority in SSL_CERT_FILE"
        else:
            said = f"gave no way through ({error})"
            advice = "check that it is up and that containers can reach it"
        return (
            f"the upstream proxy {self._proxy} {said}; {advice} (HTTPS_PROXY, or the option "
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
        # Whatever the workspace sends for this proxy is not ours to pass on.
        request.headers.pop(_AUTHORIZATION, None)
        if self._proxy.authorization is not None:
            request.headers[_AUTHORIZATION] = self._proxy.authorization


class FarNames:
    """
    Refuses names that lead to private addresses only. An addon, behind the
    recorder, since it takes its time.

    Behind an upstream proxy it is that one which resolves names, so this is
    the best that can be done from here: names that do not resolve here, or
    not in time, pass, and what the other proxy makes of a name is its affair.
    Literal addresses have been judged by then.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Judge by the addresses that this machine's resolver knows.
        """
        conversation, judgement = self._registry.conversation(flow.client_conn), Judgement.of(flow)
        if flow.response is not None or conversation is None or judgement is None:
            return
        host = flow.request.host
        if flow.server_conn.via is None or literal_address(host) is not None:
            return
        facts = replace(judgement.facts, addresses=await self._addresses(host, conversation))
        decision = decide(facts, conversation.workspace.policy)
        if not decision.allowed:
            judgement.decision = decision
            # A body that has not been judged is not let through piece by piece.
            flow.request.stream = False
            flow.response = answers.refusal(decision)

    async def _addresses(self, host: str, conversation: Conversation) -> tuple[str, ...]:
        now = time.monotonic()
        until, found = self._known.pop(host, (0.0, ()))
        if now >= until:
            until, found = now + _REMEMBERED_SECONDS, await _look_up(host, conversation.workspace)
        self._known[host] = until, found
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return found


async def _look_up(host: str, workspace: Workspace) -> tuple[str, ...]:
    """
    The addresses of *host*, none if that takes too long.
    """
    loop = cast("GuardedEventLoop", asyncio.get_running_loop())
    # Not the loop's own look-up, which is for connections.
    lookup = asyncio.SelectorEventLoop.getaddrinfo(loop, host, None, type=socket.SOCK_STREAM)
    try:
        found = await loop.lookups.run(workspace.address, lookup, _LOOKUP_SECONDS)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
