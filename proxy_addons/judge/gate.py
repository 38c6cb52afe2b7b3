"""
The gate: judges tunnels and requests before a byte of them leaves.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.hosts import normalise_host
from pytest_codex_workspace.network.policy import Decision, RequestFacts, decide

from ..answer.stubs import admits_tunnel, find_stub
from ..state import responses as answers
from ..state.judgement import Judgement
from ..state.limits import HELD_BYTES, WHOLE_BYTES
from .websocket import asks_for_websocket, strip_upgrade
from .wellformed import is_wellformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy import http, tls

    from ..state.connections import Conversation, Registry

__all__ = ["Gate", "request_facts", "tunnel_facts"]

logger = logging.getLogger(__name__)

_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_NONSENSE = Decision("blocked", "not-tls", "The proxy could not make sense of this request.")

_FULL = Decision(
    "failed",
    None,
    f"This workspace has not taken {HELD_BYTES >> 20} MB of the answers that it asked for. What is "
    "asked for meanwhile is not.",
)


class Gate:
    """
    Judges tunnels in `http_connect` and requests in `requestheaders`.

    mitmproxy logs an addon's exception and goes on, so whatever goes wrong
    here is a refusal.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """
        Judge what a tunnel is asked for.
        """
        self._judge(flow, tunnel_facts)
        conversation = self._registry.conversation(flow.client_conn)
        if flow.response is None and conversation is not None:
            conversation.tunnel = flow.request.host, flow.request.port
            # The certificate must be for the name that was judged.
            flow.server_conn.sni = normalise_host(flow.request.host)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """
        Note that the client has got as far as TLS.
        """
        if conversation := self._registry.conversation(data.context.client):
            conversation.touch()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Judge one request, whichever it is on its connection.
        """
        conversation = self._registry.conversation(flow.client_conn)
        if conversation is not None:
            conversation.requests += 1
        self._judge(flow, request_facts)
        if flow.response is None and conversation is not None:
            if conversation.workspace.policy.websocket == "block":
                strip_upgrade(flow.request.headers)
            judgement = Judgement.of(flow)
            if judgement and judgement.decision.allowed:
                flow.request.stream = _is_large(flow.request)

    def _judge(
        self, flow: http.HTTPFlow, gather: Callable[[http.HTTPFlow, Conversation], RequestFacts]
    ) -> None:
        conversation = self._registry.conversation(flow.client_conn)
        if conversation is None:
            flow.response = answers.refusal(_NONSENSE)
            return
        workspace = conversation.workspace
        try:
            facts = gather(flow, conversation)
            decision = decide(facts, workspace.policy)
            judgement = Judgement.attach(flow, workspace, facts, decision)
            answered = self._answered(flow, judgement, conversation)
        except Exception:
            logger.exception("a request could not be judged and is refused")
            host, port = _target(flow, conversation)
            facts = RequestFacts(host, port=port, payload="malformed")
            judgement = Judgement.attach(flow, workspace, facts, _NONSENSE)
            answered = False
        carried_out = judgement.decision.verdict in ("allowed", "stubbed")
        if carried_out and facts.method != "CONNECT" and not self._registry.has_room(workspace):
            judgement.decision = _FULL
            flow.response = answers.failure(_FULL)
        elif answered:
            return
        elif not judgement.decision.allowed:
            if not flow.error:
                flow.response = answers.refusal(judgement.decision)
        elif facts.method == "CONNECT":
            return
        elif workspace.player:
            # Not approved, so nothing of it can leave; the answer comes with the end of its body.
            judgement.decision = Decision("replayed")
        else:
            conversation.approved[flow.request.host, flow.request.port] = facts

    @staticmethod
    def _answered(flow: http.HTTPFlow, judgement: Judgement, conversation: Conversation) -> bool:
        """
        Whether a stub answers a request, or may answer those in a tunnel.
        """
        facts, decision = judgement.facts, judgement.decision
        if facts.method == "CONNECT":
            if admits_tunnel(facts, decision, conversation):
                judgement.decision = Decision("allowed")
                return True
            return False
        stub = find_stub(flow.request, facts, decision, conversation)
        if stub is None:
            return False
        stub.use()
        judgement.routes.append(stub.id)
        judgement.decision = Decision("stubbed")
        flow.response = stub.response(flow.request.method)
        return True


def tunnel_facts(flow: http.HTTPFlow, _: Conversation) -> RequestFacts:
    """
    What is known when a tunnel is asked for.
    """
    return RequestFacts(
        host=flow.request.host, port=flow.request.port, method="CONNECT", encrypted=False
    )


def request_facts(flow: http.HTTPFlow, conversation: Conversation) -> RequestFacts:
    """
    What is known when the headers of a request have arrived.
    """
    request = flow.request
    encrypted = conversation.encrypted
    wellformed = (
        flow.error is None
        and is_wellformed(request)
        and request.method.upper() != "CONNECT"
        and request.http_version in (("HTTP/2.0",) if _is_http2(flow) else ("HTTP/1.0", "HTTP/1.1"))
    )
    host, port = _target(flow, conversation)
    return RequestFacts(
        host=host,
        port=port,
        method=request.method,
        scheme="https" if encrypted else request.scheme,
        encrypted=encrypted,
        names=_names(flow, request.port),
        websocket=asks_for_websocket(request.headers),
        payload="http" if wellformed else "malformed",
    )


def _target(flow: http.HTTPFlow, conversation: Conversation) -> tuple[str, int]:
    """
    Where a request is for. Of one that mitmproxy finds fault with it says
    nothing, but the tunnel does, and in clear it is for the proxy.
    """
    if not flow.error:
        return flow.request.host, flow.request.port
    return conversation.tunnel or ("proxy", 8080)


def _is_http2(flow: http.HTTPFlow) -> bool:
    return flow.client_conn.alpn == b"h2"


def _names(flow: http.HTTPFlow, port: int) -> tuple[tuple[str, str], ...]:
    """
    Every other name that a request gives for its host.
    """
    names = []
    if flow.client_conn.sni is not None:
        names.append(("SNI", flow.client_conn.sni))
    hosts = [
        value.decode("utf-8", "backslashreplace")
        for name, value in flow.request.headers.fields
        if name.lower() == b"host"
    ]
    if len(hosts) == 1:
        names.append(("Host header", _without_port(hosts[0], port)))
    elif hosts:
        names.append(("Host headers", ", ".join(hosts)))
    if flow.request.authority:
        place = ":authority" if _is_http2(flow) else "request target"
        names.append((place, _without_port(flow.request.authority, port)))
    return tuple(names)


def _without_port(authority: str, port: int) -> str:
    """
    The host of *authority*; all of it, which is no host, if the port is another one.
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match["port"] and int(match["port"]) != port):
        return authority
    return match["host"]


def _is_large(request: http.Request) -> bool:
    """
    Whether a request's body goes on as it comes. The verdict has been given
    by then, and memory stays bounded.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        return int(length) > WHOLE_BYTES
    return request.is_http2 or "transfer-encoding" in request.headers
