"""
Writes to the log what was asked for and what became of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.policy import Decision, RequestFacts

from ..state import responses as answers
from ..state.judgement import Judgement
from .bodies import Kept
from .redact import safe_path

if TYPE_CHECKING:
    from mitmproxy import connection, http

    from ..state.connections import Registry
    from .events import Journal

__all__ = ["Recorder"]


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
        journal: takes the events.
        bodies: bytes to keep of each body.
    """

    def __init__(self, registry: Registry, journal: Journal, bodies: int = 0) -> None:
        self._bodies = bodies
        self._registry = registry
        self._journal = journal
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
            self._journal.describe(
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
                found.append(self._journal.describe(judgement, each.client.timestamp_start))
        return found

    def is_open(self, flow: http.HTTPFlow) -> bool:
        """
        Whether a request has no end in the log yet.
        """
        return flow.id in self._open

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
        self._journal.write(judgement, flow.request.timestamp_start, status=403)

    def client_disconnected(self, client: connection.Client) -> None:
        """
        End what is still open on a connection.
        """
        for entry in [each for each in self._open.values() if each.flow.client_conn is client]:
            self._finish(entry.flow)

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
        self._journal.write(
            judgement,
            flow.request.timestamp_start,
            status=response.status_code if response is not None and not killed else None,
            size=size,
            path=safe_path(flow.request.data.path),
            ended=time.time(),
            **(entry.bodies() if self._bodies else {}),
        )


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
