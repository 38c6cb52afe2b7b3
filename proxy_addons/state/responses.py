"""
What a client is told when it does not get what it asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import http

if TYPE_CHECKING:
    from pytest_codex_workspace.network.policy import Decision

__all__ = ["REASON_HEADER", "failure", "refusal"]

REASON_HEADER = "x-codex-workspace-reason"
"""The header that names the reason."""


def refusal(decision: Decision) -> http.Response:
    """
    The 403 for a blocked request.
    """
    return _answer(403, "Blocked", decision)


def failure(decision: Decision) -> http.Response:
    """
    The 502 for a request that could not be carried out.
    """
    return _answer(502, "Failed", decision)


def _answer(status: int, what: str, decision: Decision) -> http.Response:
    reason = str(decision.reason or decision.verdict)
    text = f"{what} by the codex-workspace proxy: {reason}\n\n{decision.explanation}\n"
    headers = {
        "content-type": "text/plain; charset=utf-8",
        REASON_HEADER: reason,
        # mitmproxy repeats an error for as long as the connection lasts.
        "connection": "close",
    }
    return http.Response.make(status, text.encode("utf-8", "replace"), headers)
