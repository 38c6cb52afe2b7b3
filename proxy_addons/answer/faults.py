"""
Faults that a test asked for: delays, resets, errors and truncated responses.

Faults apply to requests that were allowed or stubbed, after the gate has judged them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from mitmproxy import http

from pytest_codex_workspace.network.rules.policy import Decision

from ..state.judgement import Judgement

if TYPE_CHECKING:
    from mitmproxy.connection import Client

    from ..state.connections import ConnectionRegistry, WorkspaceConnection
    from ..state.routes import ProxyRoute

__all__ = ["FaultInjector"]

_FAULT = "The test asked for a fault: {}."


class FaultInjector:
    """
    Apply the faults of workspaces. An addon, behind the request log.

    Args:
        registry: knows the workspaces and their routes.
        reset: resets a client's connection.
        close: closes it once everything sent so far has gone out.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        reset: Callable[[Client], None],
        close: Callable[[Client], None],
    ) -> None:
        self._registry = registry
        self._reset = reset
        self._close = close
        self._truncated: dict[str, ProxyRoute] = {}

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Delay a request, reset its connection, or respond with an error.
        """
        found = self._find_fault(flow)
        if found is None:
            return
        route, judgement, connection = found
        match route.kind:
            case "latency":
                await asyncio.sleep(route.seconds)
            case "reset":
                judgement.decision = _failed("the connection was reset")
                self._reset(connection.client)
                if flow.killable:
                    flow.kill()  # type: ignore[no-untyped-call]
            case "status":
                text = _FAULT.format(f"status {route.status}")
                judgement.decision = Decision("stubbed", None, text)
                flow.response = http.Response.make(route.status, text + "\n")
                flow.request.stream = False
            case "truncate":
                self._truncated[flow.id] = route

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Truncate a response.
        """
        route = self._truncated.pop(flow.id, None)
        connection = self._registry.connection(flow.client_conn)
        response = flow.response
        judgement = Judgement.of(flow)
        if not (route and judgement and response and connection):
            return
        judgement.decision = _failed("the response was truncated")
        content = response.raw_content
        if content is not None:
            keep = len(content) // 2 if route.after is None else route.after
            response.data.content = content[:keep]
            response.headers["connection"] = "close"
            return
        length = response.headers.get("content-length", "")
        whole = int(length) if length.isdecimal() else 0
        left = whole // 2 if route.after is None else route.after
        next_stream = response.stream

        def truncate(data: bytes) -> list[bytes]:
            nonlocal left
            piece, left = data[:left], left - len(data[:left])
            if callable(next_stream):
                next_stream(piece)
            if not left:
                # Once this piece has been written.
                asyncio.get_running_loop().call_soon(self._close, connection.client)
            return [piece] if piece else []

        response.stream = truncate

    def error(self, flow: http.HTTPFlow) -> None:
        """
        Forget a flow that ended early.
        """
        self._truncated.pop(flow.id, None)

    def _find_fault(
        self, flow: http.HTTPFlow
    ) -> tuple[ProxyRoute, Judgement, WorkspaceConnection] | None:
        judgement = Judgement.of(flow)
        connection = self._registry.connection(flow.client_conn)
        if judgement is None or connection is None:
            return None
        if judgement.decision.verdict not in ("allowed", "stubbed", "replayed"):
            return None
        for route in connection.workspace.routes:
            if route.kind != "stub" and route.matches(flow.request, judgement.facts.host):
                route.use()
                judgement.routes.append(route.id)
                return route, judgement, connection
        return None


def _failed(what: str) -> Decision:
    return Decision("failed", "upstream-error", _FAULT.format(what))
