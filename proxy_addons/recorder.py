"""
Writes to the log what was asked for and what became of it.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.policy import (
    Decision,
    RequestFacts,
    decide,
)

from . import answers
from .bodies import Kept
from .judgement import Judgement
from .limits import CONNECTIONS, SILENCE_SECONDS
from .redact import printable, safe_host, safe_path, url_of
from .registry import CROWDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy import connection, http, tls

    from .registry import Conversation, Registry

__all__ = ["Recorder"]

_DISTRUST = (
    "The client opened a tunnel to {host}, saw the proxy's certificate and sent no request: it "
    "probably does not trust it. Let the variable that this tool reads (SSL_CERT_FILE, "
    "REQUESTS_CA_BUNDLE, PIP_CERT, NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE, GIT_SSL_CAINFO, "
    "CARGO_HTTP_CAINFO, DENO_CERT; for Java a trust store) name the file in CODEX_PROXY_CERT."
)
_SILENCE = "The client opened a tunnel to {host} and closed it without sending anything."
_STILL_SILENT = f"The connection was closed, because no request came for {SILENCE_SECONDS:.0f} s."
_CROWDED = (
    f"This workspace had {CONNECTIONS} connections to the proxy open, which is as many as it may; "
    "further ones were closed. This is logged once until half of them are gone."
)
_UNREADABLE = "Cannot parse ClientHello: "
_PROXY = RequestFacts("proxy", method="UNKNOWN", scheme="http", port=8080, encrypted=False)
"""What is known of a connection before it said where it leads."""


@dataclass(slots=True)
class _Open:
    """
    A request that has no end yet.
    """

    flow: http.HTTPFlow
    judgement: Judgement
    sent: Kept
    received: Kept
    size: int | None = None

    def pass_request(self, data: bytes) -> bytes:
        """
        Look at a request's body that passes by.
        """
        self.sent.add(data)
        return data

    def count(self, data: bytes) -> bytes:
        """
        Add up a response that passes by.
        """
        self.size = (self.size or 0) + len(data)
        self.received.add(data)
        return data

    def bodies(self) -> dict[str, str | None]:
        """
        What is kept of the bodies.
        """
        request, response = self.flow.request, self.flow.response
        if not request.stream:
            self.sent.add(request.raw_content or b"")
        kept = {"request_body": self.sent.encoded(request.headers.get("content-encoding", ""))}
        if response is not None:
            if self.size is None:
                self.received.add(response.raw_content or b"")
            encoding = response.headers.get("content-encoding", "")
            kept["response_body"] = self.received.encoded(encoding)
        return kept


class Recorder:
    """
    Turns flows into events. An addon, behind those that judge.

    Args:
        registry: knows the connections.
        emit: takes each event.
        bodies: bytes to keep of each body.
    """

    def __init__(
        self, registry: Registry, emit: Callable[[dict[str, Any]], None], bodies: int = 0
    ) -> None:
        self._bodies = bodies
        self._registry = registry
        self._emit = emit
        self._ids = itertools.count(1)
        self._open: dict[str, _Open] = {}

    def in_flight(self, address: str) -> int:
        """
        How many requests of *address* have no end yet.
        """
        return sum(
            1 for each in self._open.values() if each.flow.client_conn.peername[0] == address
        )

    def pending(self, address: str, seconds: float) -> list[dict[str, Any]]:
        """
        Events for what *address* has begun and what has no end after *seconds*,
        as far as it has come. Each will have an event of its own at its end.
        """
        waiting = Decision("allowed", None, f"There was no answer yet after {seconds:g} s.")
        found = [
            self._describe(
                replace(entry.judgement, decision=waiting),
                entry.flow.request.timestamp_start,
                path=safe_path(entry.flow.request.data.path),
            )
            for entry in self._open.values()
            if entry.flow.client_conn.peername[0] == address
        ]
        for each in self._registry.conversations(address):
            if each.undecided and each.tunnel is not None:
                host, port = each.tunnel
                facts = RequestFacts(host, method="CONNECT", port=port)
                workspace = each.workspace
                judgement = Judgement(facts, waiting, workspace.id, workspace.phase)
                found.append(self._describe(judgement, each.client.timestamp_start))
        return found

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        A request begins.
        """
        if judgement := Judgement.of(flow):
            kept = Kept(self._bodies), Kept(self._bodies)
            entry = self._open[flow.id] = _Open(flow, judgement, *kept)
            if self._bodies and flow.request.stream:
                flow.request.stream = entry.pass_request

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Let the response of an allowed request pass through uncollected.
        """
        entry = self._open.get(flow.id)
        if entry and flow.response and entry.judgement.decision.allowed and not flow.error:
            flow.response.stream = entry.count

    def response(self, flow: http.HTTPFlow) -> None:
        """
        A request has been answered.
        """
        self._finish(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """
        A request has ended without its answer, or in the midst of it.
        """
        self._finish(flow)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """
        A tunnel was asked for; only a refused one is an event.
        """
        judgement = Judgement.of(flow)
        if judgement is None or judgement.decision.allowed:
            return
        if conversation := self._registry.conversation(flow.client_conn):
            conversation.settled = True
        self._event(judgement, flow.request.timestamp_start, status=403)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """
        A handshake in a tunnel came to nothing.
        """
        conversation = self._registry.conversation(data.context.client)
        if conversation is None or conversation.tunnel is None:
            return
        error = data.conn.error or ""
        host, port = conversation.tunnel
        if error.startswith(_UNREADABLE):
            facts = RequestFacts(host, method="CONNECT", port=port, payload="not-tls")
            decision = decide(facts, conversation.workspace.policy)
            if (what := error.removeprefix(_UNREADABLE)) and " " in what:
                # Not mitmproxy's own, which is all of the bytes.
                decision = replace(decision, explanation=f"{decision.explanation} ({what})")
            self.tunnel(conversation, facts, decision)
        elif not conversation.settled:
            self._failed_tunnel(conversation, f"{_DISTRUST} ({error})")

    def client_connected(self, client: connection.Client) -> None:
        """
        A connection that was one too many.
        """
        workspace = self._registry.workspace(client.peername[0])
        if client.error != CROWDED or workspace is None or workspace.crowded:
            return
        workspace.crowded = True
        decision = Decision("failed", None, _CROWDED)
        self._event(Judgement(_PROXY, decision, workspace.id, workspace.phase), time.time())

    def malformed(self, client: connection.Client, what: str) -> Decision | None:
        """
        A connection carried something that is no request.

        Returns:
            What was decided, `None` if there is nobody to tell.
        """
        conversation = self._registry.conversation(client)
        if conversation is None:
            return None
        facts = replace(_PROXY, payload="malformed")
        if conversation.tunnel is not None:
            host, port = conversation.tunnel
            facts = RequestFacts(host, method="CONNECT", port=port, payload="malformed")
        decision = decide(facts, conversation.workspace.policy)
        if "mismatched :authority and Host" in what:
            decision = Decision("blocked", "name-mismatch", "All names of a request must agree.")
        decision = replace(decision, explanation=f"{decision.explanation} ({what})")
        if not conversation.settled:
            self.tunnel(conversation, facts, decision)
        return decision

    def silent(self, conversation: Conversation) -> None:
        """
        A connection is about to be closed because nothing came.
        """
        facts = _PROXY
        if conversation.tunnel is not None:
            host, port = conversation.tunnel
            facts = RequestFacts(host, method="CONNECT", port=port)
        self.tunnel(conversation, facts, Decision("failed", None, _STILL_SILENT))

    def client_disconnected(self, client: connection.Client) -> None:
        """
        End what is still open on a connection.
        """
        for entry in [each for each in self._open.values() if each.flow.client_conn is client]:
            self._finish(entry.flow)
        conversation = self._registry.conversation(client)
        if conversation is not None and conversation.undecided:
            self._failed_tunnel(conversation, _DISTRUST if client.tls else _SILENCE)
        self._registry.drop(client)

    def tunnel(self, conversation: Conversation, facts: RequestFacts, decision: Decision) -> None:
        """
        A tunnel was cut off for what it carried, or carried nothing.
        """
        conversation.settled = True
        workspace = conversation.workspace
        judgement = Judgement(facts, decision, workspace.id, workspace.phase)
        self._event(judgement, conversation.client.timestamp_start)

    def lookup(self, workspace: str, phase: str, facts: RequestFacts, decision: Decision) -> None:
        """
        A name was looked up around the proxy.
        """
        self._event(Judgement(facts, decision, workspace, phase), time.time())

    def on_failure(self, flow: http.HTTPFlow, error: str) -> http.Response:
        """
        Judge a flow whose server could not be reached, and answer it.
        """
        judgement = Judgement.of(flow)
        conversation = self._registry.conversation(flow.client_conn)
        request = flow.request
        if judgement and conversation:
            refused = conversation.refused.get((request.host, request.port))
            if refused is not None:
                judgement.decision = refused
                return answers.refusal(refused)
        decision = _failed(f"No answer from {request.host}:{request.port}: {error}")
        if judgement:
            judgement.decision = decision
        return answers.failure(decision)

    def _failed_tunnel(self, conversation: Conversation, explanation: str) -> None:
        if conversation.tunnel is None:
            return
        host, port = conversation.tunnel
        facts = RequestFacts(host, method="CONNECT", port=port)
        self.tunnel(conversation, facts, Decision("failed", None, explanation.format(host=host)))

    def _finish(self, flow: http.HTTPFlow) -> None:
        entry = self._open.pop(flow.id, None)
        if entry is None:
            return
        judgement, response = entry.judgement, flow.response
        size = entry.size
        if size is None and response is not None and response.raw_content is not None:
            size = len(response.raw_content)
        if flow.error and judgement.decision.allowed:
            judgement.decision = _ended_early(flow, flow.error.msg)
        elif response is None and judgement.decision.allowed:
            judgement.decision = _ended_early(flow, "the client went away")
        killed = response is not None and response.status_code == 101 and flow.error is not None
        self._event(
            judgement,
            flow.request.timestamp_start,
            status=response.status_code if response is not None and not killed else None,
            size=size,
            path=safe_path(flow.request.data.path),
            ended=time.time(),
            **(entry.bodies() if self._bodies else {}),
        )

    def _event(
        self,
        judgement: Judgement,
        started: float,
        **seen: Any,
    ) -> None:
        self._emit(
            {
                "event": "request",
                "workspace": judgement.workspace,
                **self._describe(judgement, started, **seen),
            }
        )

    def _describe(
        self,
        judgement: Judgement,
        started: float,
        *,
        status: int | None = None,
        size: int | None = None,
        path: str = "",
        ended: float | None = None,
        **bodies: str | None,
    ) -> dict[str, Any]:
        facts, decision = judgement.facts, judgement.decision
        host = safe_host(facts.host)
        return {
            "id": next(self._ids),
            "time": started,
            "phase": judgement.phase,
            "method": printable(facts.method.encode("utf-8", "replace"))[:32],
            "scheme": facts.scheme,
            "host": host,
            "port": facts.port,
            "path": path,
            "url": url_of(facts.scheme, host, facts.port, path),
            "status": status,
            "size": size,
            "duration": None if ended is None else max(0.0, ended - started),
            "verdict": decision.verdict,
            "reason": decision.reason,
            "explanation": decision.explanation,
            "routes": judgement.routes,
            **bodies,
        }


def _failed(explanation: str) -> Decision:
    return Decision("failed", "upstream-error", explanation)


def _ended_early(flow: http.HTTPFlow, error: str) -> Decision:
    """
    Whose fault it is that an allowed exchange has no proper end.
    """
    client_left = not flow.client_conn.connected or "client" in error.lower()
    if not client_left:
        return _failed(f"The exchange with {flow.request.host} broke off: {error}")
    return Decision("allowed", None, f"The client closed the connection before the end ({error}).")
