"""
The responses that the proxy itself gives, and who asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitmproxy import http
from mitmproxy.connection import Client  # noqa: TC002 -- a dataclass
from mitmproxy.proxy.commands import StartHook

if TYPE_CHECKING:
    from pytest_codex_workspace.network.rules.policy import Decision

__all__ = [
    "REASON_HEADER",
    "OnFailure",
    "OnMalformed",
    "RefusalHook",
    "blocked_response",
    "failed_response",
    "use_refusal",
]

REASON_HEADER = "x-codex-workspace-reason"
"""The header that holds the reason."""

OnFailure = Callable[[http.HTTPFlow, str], http.Response]
"""Makes the response for a flow that failed upstream with an error message."""

OnMalformed = Callable[["Client", str], "Decision | None"]
"""
Logs that a connection sent something that is not a request, with an error message. Returns the
decision that was logged, `None` if the connection belongs to no workspace.
"""


@dataclass
class RefusalHook(StartHook):
    """
    A connection is about to be refused for what it has sent, which is no request.
    """

    client: Client


_HOST_REASONS = ("host-not-allowed", "offline")
"""Refusals for which the body of real workspaces is known."""

_refusal: list[str] = []


def use_refusal(body: str) -> None:
    """
    Respond to requests to refused hosts with *body*, and without our explanation, as real
    workspaces do. The log has the explanation. An empty *body* changes nothing.
    """
    _refusal[:] = [body] if body else []


def blocked_response(decision: Decision) -> http.Response:
    """
    Return the 403 for a blocked request.
    """
    if _refusal and decision.reason in _HOST_REASONS:
        headers = {"content-type": "text/plain", "connection": "close"}
        return http.Response.make(403, _refusal[0].encode("utf-8"), headers)
    return _response(403, "Blocked", decision)


def failed_response(decision: Decision) -> http.Response:
    """
    Return the 502 for a request that could not be carried out.
    """
    return _response(502, "Failed", decision)


def _response(status: int, outcome: str, decision: Decision) -> http.Response:
    reason = str(decision.reason or decision.verdict)
    text = f"{outcome} by the codex-workspace proxy: {reason}\n\n{decision.explanation}\n"
    headers = {
        "content-type": "text/plain; charset=utf-8",
        REASON_HEADER: reason,
        # mitmproxy repeats an error for as long as the connection lasts.
        "connection": "close",
    }
    return http.Response.make(status, text.encode("utf-8", "replace"), headers)
