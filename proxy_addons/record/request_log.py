"""
Log each request with its outcome.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts

from ..state import responses
from ..state.judgement import Judgement, has_server_ended
from .bodies import BodyPrefix
from .redact import safe_path

if TYPE_CHECKING:
    from mitmproxy import http
    from mitmproxy.connection import Client

    from ..state.connections import ConnectionRegistry, RegisteredWorkspace
    from .events import EventWriter

__all__ = ["OpenRequest", "RequestLogger"]

_SWITCHING_PROTOCOLS = 101


@dataclass(slots=True)
class OpenRequest:
    """
    A request that is not in the log yet.

    Attributes:
        workspace: who sent it.
        number: the id of its entry in the log.
        size: bytes in the response's body so far.
        awaited_since: when a barrier began to wait for it, on the monotonic clock; 0 if none did.
    """

    flow: http.HTTPFlow
    judgement: Judgement
    sent: BodyPrefix
    received: BodyPrefix
    workspace: RegisteredWorkspace
    number: int
    size: int | None = None
    awaited_since: float = 0.0

    def pass_request(self, data: bytes) -> bytes:
        """
        Keep the start of a request's body while it passes.
        """
        self.sent.add(data)
        return data

    def pass_response(self, data: bytes) -> bytes:
        """
        Count a response's body while it passes, and keep its start.
        """
        self.size = (self.size or 0) + len(data)
        self.received.add(data)
        return data

    def bodies(self) -> dict[str, str | None]:
        """
        Return the kept bytes of both bodies.
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


class RequestLogger:
    """
    Turn flows into events. An addon, behind those that judge.

    Args:
        registry: knows the connections.
        events: sends the events.
        bodies: bytes to keep of each body.
    """

    def __init__(self, registry: ConnectionRegistry, events: EventWriter, bodies: int = 0) -> None:
        self._bodies = bodies
        self._registry = registry
        self._events = events
        self._open: dict[str, OpenRequest] = {}

    def open_requests(self, workspace: RegisteredWorkspace) -> list[OpenRequest]:
        """
        Return the requests of a workspace that have not ended yet.
        """
        return [each for each in self._open.values() if each.workspace is workspace]

    def pending(self, workspace: RegisteredWorkspace, seconds: float) -> list[dict[str, Any]]:
        """
        Describe the requests and tunnels of a workspace that have not ended after *seconds*.

        Each of them still gets an event of its own when it ends, a request one with the same id.
        """
        waiting = Decision("allowed", None, f"There was no response yet after {seconds:g} s.")
        found = [
            self._events.describe_request(
                replace(entry.judgement, decision=waiting),
                entry.flow.request.timestamp_start,
                path=safe_path(entry.flow.request.data.path),
                number=entry.number,
            )
            for entry in self.open_requests(workspace)
        ]
        for each in self._registry.connections_of(workspace):
            if each.awaits_request and each.tunnel is not None:
                host, port = each.tunnel
                facts = RequestFacts(host, method="CONNECT", port=port)
                judgement = Judgement(facts, waiting, workspace.id, workspace.phase)
                found.append(self._events.describe_request(judgement, each.client.timestamp_start))
        return found

    def is_open(self, flow: http.HTTPFlow) -> bool:
        """
        Check whether a request is not in the log yet.
        """
        return flow.id in self._open

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Note that a request begins.
        """
        judgement, connection = Judgement.of(flow), self._registry.connection(flow.client_conn)
        if judgement and connection:
            kept = BodyPrefix(self._bodies), BodyPrefix(self._bodies)
            entry = self._open[flow.id] = OpenRequest(
                flow, judgement, *kept, connection.workspace, self._events.next_number()
            )
            if self._bodies and flow.request.stream:
                flow.request.stream = entry.pass_request

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Stream the response of an allowed request to the client.
        """
        entry = self._open.get(flow.id)
        if entry and flow.response and entry.judgement.decision.allowed and not flow.error:
            flow.response.stream = entry.pass_response

    def response(self, flow: http.HTTPFlow) -> None:
        """
        Log a request that got its response.
        """
        self._finish(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """
        Log a request that ended before or within its response.
        """
        self._finish(flow)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """
        Log a refused tunnel. The requests inside an allowed one are logged instead.
        """
        judgement = Judgement.of(flow)
        if judgement is None or judgement.decision.allowed:
            return
        if connection := self._registry.connection(flow.client_conn):
            connection.outcome_logged = True
        self._events.write_request(judgement, flow.request.timestamp_start, status=403)

    def client_disconnected(self, client: Client) -> None:
        """
        Log the requests that are still open on a connection.
        """
        for entry in [each for each in self._open.values() if each.flow.client_conn is client]:
            self._finish(entry.flow)

    def respond_to_failure(self, flow: http.HTTPFlow, error: str) -> http.Response:
        """
        Judge a flow whose server could not be reached, and return its response.
        """
        judgement = Judgement.of(flow)
        connection = self._registry.connection(flow.client_conn)
        request = flow.request
        if judgement and connection:
            refused = connection.refused.get((request.host, request.port))
            if refused is not None:
                judgement.decision = refused
                return responses.blocked_response(refused)
        decision = _failed(f"No response from {request.host}:{request.port}: {error}")
        if judgement:
            judgement.decision = decision
        return responses.failed_response(decision)

    def _finish(self, flow: http.HTTPFlow) -> None:
        entry = self._open.pop(flow.id, None)
        if entry is None:
            return
        judgement, response = entry.judgement, flow.response
        if judgement.held and response is None and judgement.decision.verdict == "stubbed":
            # It ended before its body had come, and no stub has seen it.
            judgement.decision = judgement.held
        size = entry.size
        if size is None and response is not None and response.raw_content is not None:
            size = len(response.raw_content)
        if flow.error and judgement.decision.allowed:
            judgement.decision = _ended_early(flow, flow.error.msg)
        elif response is None and judgement.decision.allowed:
            judgement.decision = _ended_early(flow, "the client went away")
        killed = (
            response is not None
            and response.status_code == _SWITCHING_PROTOCOLS
            and flow.error is not None
        )
        self._events.write_request(
            judgement,
            flow.request.timestamp_start,
            status=response.status_code if response is not None and not killed else None,
            size=size,
            path=safe_path(flow.request.data.path),
            ended=time.time(),
            number=entry.number,
            **(entry.bodies() if self._bodies else {}),
        )


def _failed(explanation: str) -> Decision:
    return Decision("failed", "upstream-error", explanation)


def _ended_early(flow: http.HTTPFlow, error: str) -> Decision:
    """
    Return the decision for an allowed request that ended early, by whose fault that is.
    """
    if has_server_ended(flow):
        return _failed(f"The exchange with {flow.request.host} ended early: {error}")
    return Decision("allowed", None, f"The client closed the connection before the end ({error}).")
