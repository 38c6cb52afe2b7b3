"""
The gate: judge tunnels and requests before any byte of them leaves.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts, decide

from ..answer.stub_functions import StubFunctions
from ..answer.stubs import admits_tunnel, find_stub
from ..state import responses
from ..state.judgement import Judgement, digest_whole
from ..state.limits import MAX_BUFFERED_BYTES, MAX_STUB_REQUEST_BYTES, MAX_WHOLE_BODY_BYTES
from ..state.routes import is_long
from .websocket import asks_for_websocket, strip_upgrade
from .wellformed import canonical_host, forward_as_judged, is_wellformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy import http, tls

    from ..state.connections import ConnectionRegistry, WorkspaceConnection
    from ..state.routes import ProxyRoute

__all__ = ["Gate", "request_facts", "tunnel_facts"]

logger = logging.getLogger(__name__)

_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_UNPARSABLE = Decision("blocked", "not-tls", "The proxy could not parse this request.")

_MEMORY_LIMIT = Decision(
    "failed",
    None,
    f"{MAX_BUFFERED_BYTES >> 20} MB of responses are waiting to be read by this workspace. New "
    "requests are refused until it reads them.",
)

_TOO_LONG = Decision(
    "failed",
    "upstream-error",
    "The function of a stub gave no response: the request is longer than "
    f"{MAX_STUB_REQUEST_BYTES >> 10} KiB.",
)


class Gate:
    """
    Judge tunnels in `http_connect` and requests in `requestheaders`. An addon.

    mitmproxy logs an exception of an addon and goes on, so every error here
    refuses the request. A request whose body a stub must see is judged in `request`.

    Args:
        registry: knows the connections.
        functions: asks the functions of stubs.
    """

    def __init__(self, registry: ConnectionRegistry, functions: StubFunctions) -> None:
        self._registry = registry
        self._functions = functions

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """
        Judge a request for a tunnel.
        """
        self._judge(flow, tunnel_facts)
        connection = self._registry.connection(flow.client_conn)
        if flow.response is None and connection is not None:
            # The name that was judged is looked up, asked for and expected in the certificate.
            flow.request.data.host = host = canonical_host(flow.request.host)
            connection.tunnel = host, flow.request.port
            flow.server_conn.sni = host

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """
        Note that the client has begun TLS.
        """
        if connection := self._registry.connection(data.context.client):
            connection.note_activity()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Judge one request, the first or a later one of its connection.
        """
        connection = self._registry.connection(flow.client_conn)
        if connection is not None:
            connection.request_count += 1
        self._judge(flow, request_facts)
        if flow.response is None and connection is not None:
            if connection.workspace.policy.websocket == "block":
                strip_upgrade(flow.request.headers)
            judgement = Judgement.of(flow)
            if judgement and judgement.decision.allowed:
                flow.request.stream = _is_large(flow.request)

    async def request(self, flow: http.HTTPFlow) -> None:
        """
        Judge a request that was held until its body had come.
        """
        judgement = Judgement.of(flow)
        if judgement is None or judgement.held is None:
            return
        held, judgement.held = judgement.held, None
        if flow.response is not None:
            return
        try:
            await self._release(flow, held, judgement)
        except Exception:
            logger.exception("a request could not be compared with a stub and is refused")
            judgement.decision = _UNPARSABLE
            flow.response = responses.blocked_response(_UNPARSABLE)

    async def _release(self, flow: http.HTTPFlow, held: Decision, judgement: Judgement) -> None:
        """
        Let a stub respond to a request, or carry out what the policy says of it: the one of now,
        too, if the one that was in force when the request began would let it leave.
        """
        connection = self._registry.connection(flow.client_conn)
        if connection is None:
            judgement.decision = _UNPARSABLE
            flow.response = responses.blocked_response(_UNPARSABLE)
            return
        facts = judgement.facts
        decision = decide(facts, connection.workspace.policy) if held.allowed else held
        stub = find_stub(flow.request, facts, decision, connection, whole=True)
        if stub is not None:
            await self._respond(flow, stub, judgement, connection)
            return
        judgement.decision, judgement.is_released = decision, True
        self._carry_out(flow, judgement, connection)
        if judgement.decision.verdict == "replayed":
            digest_whole(flow)

    def _judge(
        self,
        flow: http.HTTPFlow,
        gather: Callable[[http.HTTPFlow, WorkspaceConnection], RequestFacts],
    ) -> None:
        connection = self._registry.connection(flow.client_conn)
        if connection is None:
            flow.response = responses.blocked_response(_UNPARSABLE)
            return
        workspace = connection.workspace
        try:
            facts = gather(flow, connection)
            decision = decide(facts, workspace.policy)
            if flow.error and facts.payload == "malformed":
                text = f"{decision.explanation} ({flow.error.msg})"
                decision = replace(decision, explanation=text)
            judgement = Judgement.attach(flow, workspace, facts, decision)
            is_stubbed = self._apply_stub(flow, judgement, connection)
        except Exception:
            logger.exception("a request could not be judged and is refused")
            host, port = _target(flow, connection)
            facts = RequestFacts(host, port=port, payload="malformed")
            judgement = Judgement.attach(flow, workspace, facts, _UNPARSABLE)
            is_stubbed = False
        forwarded = judgement.decision.verdict in ("allowed", "stubbed")
        if (
            forwarded
            and facts.method != "CONNECT"
            and not self._registry.accepts_requests(workspace)
        ):
            judgement.decision = _MEMORY_LIMIT
            flow.response = responses.failed_response(_MEMORY_LIMIT)
        elif not is_stubbed:
            self._carry_out(flow, judgement, connection)

    @staticmethod
    def _carry_out(
        flow: http.HTTPFlow, judgement: Judgement, connection: WorkspaceConnection
    ) -> None:
        """
        Refuse a request, leave it to the cassette, or let it leave, as was decided.
        """
        facts = judgement.facts
        if not judgement.decision.allowed:
            flow.response = responses.blocked_response(judgement.decision)
        elif facts.method == "CONNECT":
            return
        elif connection.workspace.player:
            # Without approval the request cannot leave. The response follows at the end of its
            # body.
            judgement.decision = Decision("replayed")
        else:
            forward_as_judged(flow.request, facts.host)
            connection.approved[flow.request.host, flow.request.port] = facts

    async def _respond(
        self,
        flow: http.HTTPFlow,
        stub: ProxyRoute,
        judgement: Judgement,
        connection: WorkspaceConnection,
    ) -> None:
        """
        Respond to a request that is whole.
        """
        stub.use()
        judgement.routes.append(stub.id)
        judgement.decision = Decision("stubbed")
        if stub.asks:
            await self._functions.respond(flow, stub, judgement, connection.workspace)
        else:
            flow.response = stub.response(flow.request.method)

    @staticmethod
    def _apply_stub(
        flow: http.HTTPFlow, judgement: Judgement, connection: WorkspaceConnection
    ) -> bool:
        """
        Apply a stub to a request, or open a tunnel that a stub needs. Return whether one was
        found, or may be when the body has come.
        """
        facts, decision = judgement.facts, judgement.decision
        if facts.method == "CONNECT":
            if admits_tunnel(facts, decision, connection):
                judgement.decision = Decision("allowed")
                return True
            return False
        stub = find_stub(flow.request, facts, decision, connection)
        if stub is None:
            return False
        if stub.needs_body and not is_long(flow.request):
            # Nobody else may take it for allowed or refused, or keep only a digest of its body.
            judgement.held, judgement.decision = decision, Decision("stubbed")
            return True
        stub.use()
        judgement.routes.append(stub.id)
        if stub.asks:
            judgement.decision = _TOO_LONG
            flow.response = responses.failed_response(_TOO_LONG)
            return True
        judgement.decision = Decision("stubbed")
        flow.response = stub.response(flow.request.method)
        return True


def tunnel_facts(flow: http.HTTPFlow, _: WorkspaceConnection) -> RequestFacts:
    """
    Return what is known when a client asks for a tunnel.
    """
    return RequestFacts(
        host=canonical_host(flow.request.host),
        port=flow.request.port,
        method="CONNECT",
        encrypted=False,
    )


def request_facts(flow: http.HTTPFlow, connection: WorkspaceConnection) -> RequestFacts:
    """
    Return what is known when the header fields of a request have arrived.
    """
    request = flow.request
    encrypted = connection.encrypted
    wellformed = (
        flow.error is None
        and is_wellformed(request)
        and request.method.upper() != "CONNECT"
        and request.http_version in (("HTTP/2.0",) if _is_http2(flow) else ("HTTP/1.0", "HTTP/1.1"))
    )
    host, port = _target(flow, connection)
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


def _target(flow: http.HTTPFlow, connection: WorkspaceConnection) -> tuple[str, int]:
    """
    Return host and port of a request.

    mitmproxy does not parse them if the request has an error. Then they are those of the
    tunnel; outside a tunnel the request is for the proxy.
    """
    if not flow.error:
        return canonical_host(flow.request.host), flow.request.port
    return connection.tunnel or ("proxy", 8080)


def _is_http2(flow: http.HTTPFlow) -> bool:
    return flow.client_conn.alpn == b"h2"


def _names(flow: http.HTTPFlow, port: int) -> tuple[tuple[str, str], ...]:
    """
    Return every other name that a request gives for its host.
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
    Return the host of *authority*; all of it, which is no valid host, if the port is a
    different one.
    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match["port"] and int(match["port"]) != port):
        return authority
    return match["host"]


def _is_large(request: http.Request) -> bool:
    """
    Check whether a request's body is sent on as it comes.

    The request has been judged by then, and memory stays bounded.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        return int(length) > MAX_WHOLE_BODY_BYTES
    return request.is_http2 or "transfer-encoding" in request.headers
