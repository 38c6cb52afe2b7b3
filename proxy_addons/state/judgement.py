"""
The judgement that travels with a flow from the gate to the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts

    from .connections import RegisteredWorkspace

__all__ = ["Judgement", "digest_body", "digest_of"]

_JUDGEMENT = "codex_workspace_judgement"
_DIGEST = "codex_workspace_digest"


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
    """

    facts: RequestFacts
    decision: Decision
    workspace: str
    phase: str
    routes: list[int] = field(default_factory=list)

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


def digest_body(flow: http.HTTPFlow) -> None:
    """
    Keep only a digest of the request's body, not the body.
    """
    flow.metadata[_DIGEST] = hashlib.sha256()


def digest_of(flow: http.HTTPFlow) -> hashlib._Hash | None:
    """
    Return the running digest of the request's body, `None` unless `digest_body` asked for one.
    """
    found: hashlib._Hash | None = flow.metadata.get(_DIGEST)
    return found
