"""
The judgement that travels with a flow from the gate to the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, decide

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts

    from .connections import RegisteredWorkspace

__all__ = [
    "Judgement",
    "digest_body",
    "digest_of",
    "digest_whole",
    "has_server_ended",
    "is_released",
    "judge_broken_request",
    "note_server_ended",
]

_JUDGEMENT = "codex_workspace_judgement"
_DIGEST = "codex_workspace_digest"
_SERVER_ENDED = "codex_workspace_server_ended"


@dataclass(slots=True)
class Judgement:
    """
    A decision about a flow, and the facts that it was based on.

    Attributes:
        facts: what was known of the request.
        decision: the latest decision; the response of a server can still change it.
        workspace: id of the workspace that sent the request.
        phase: the phase of that workspace when it sent the request.
        routes: ids of the stub and the fault that took part in the response.
        process: the process that sent the request, and its ancestors; empty if not known.
        held: what the policy says of a request that is held until its body has come, because a
            stub must see it; `None` if it is not held.
        is_released: it was held and no stub responded. Addons do then, in `request`, what they do
            with other allowed requests in `requestheaders`.
    """

    facts: RequestFacts
    decision: Decision
    workspace: str
    phase: str
    routes: list[int] = field(default_factory=list)
    process: str = ""
    held: Decision | None = None
    is_released: bool = False

    @classmethod
    def attach(
        cls,
        flow: http.HTTPFlow,
        workspace: RegisteredWorkspace,
        facts: RequestFacts,
        decision: Decision,
    ) -> Judgement:
        """
        Attach a new judgement to *flow* and return it.
        """
        judgement = cls(facts, decision, workspace.id, workspace.phase)
        flow.metadata[_JUDGEMENT] = judgement
        return judgement

    @staticmethod
    def of(flow: http.HTTPFlow) -> Judgement | None:
        """
        Return the judgement of *flow*, `None` if the flow never reached the gate.
        """
        judgement = flow.metadata.get(_JUDGEMENT)
        return judgement if isinstance(judgement, Judgement) else None


def is_released(flow: http.HTTPFlow) -> bool:
    """
    Check whether a request was held until its body had come, and no stub responded.
    """
    judgement = Judgement.of(flow)
    return judgement is not None and judgement.is_released


def digest_body(flow: http.HTTPFlow) -> None:
    """
    Keep only a digest of the request's body, not the body.
    """
    flow.metadata[_DIGEST] = hashlib.sha256()


def digest_whole(flow: http.HTTPFlow) -> None:
    """
    Make the digest of the request's body, which has come.
    """
    flow.metadata[_DIGEST] = hashlib.sha256(flow.request.raw_content or b"")


def digest_of(flow: http.HTTPFlow) -> hashlib._Hash | None:
    """
    Return the running digest of the request's body, `None` unless `digest_body` asked for one.
    """
    found: hashlib._Hash | None = flow.metadata.get(_DIGEST)
    return found


def judge_broken_request(flow: http.HTTPFlow, error: str, *, is_sent: bool) -> None:
    """
    Judge a request again whose body is malformed or does not have the length in its header.

    Args:
        flow: the flow of the request.
        error: what is wrong.
        is_sent: whether a part of the request has been sent to the server.
    """
    judgement = Judgement.of(flow)
    if judgement is None or judgement.decision.verdict in ("blocked", "failed"):
        return
    decision = decide(replace(judgement.facts, payload="malformed"), HTTPS_ONLY)
    text = f"{decision.explanation} ({error})"
    if is_sent:
        decision = replace(decision, verdict="failed")
        text += " What came before that was sent to the server."
    judgement.decision = replace(decision, explanation=text)


def note_server_ended(flow: http.HTTPFlow) -> None:
    """
    Note that the server ended the exchange, or could not be reached.
    """
    flow.metadata.setdefault(_SERVER_ENDED, True)


def has_server_ended(flow: http.HTTPFlow) -> bool:
    """
    Check whether the server, and not the client, ended the exchange early.
    """
    return flow.metadata.get(_SERVER_ENDED) is True
