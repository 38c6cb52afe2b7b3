"""
The judgement that travels with a flow from the gate to the recorder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.policy import Decision, RequestFacts

    from .connections import Workspace

__all__ = ["Judgement"]

_KEY = "codex_workspace_judgement"


@dataclass(slots=True)
class Judgement:
    """
    What was decided about a flow, and of what it was decided.

    Attributes:
        facts: what the decision was based on.
        decision: the latest word; a server's answer may still change it.
        workspace: the id of who asked.
        phase: what that one was doing at the time.
        routes: the stub and the fault that had a part in the answer.
    """

    facts: RequestFacts
    decision: Decision
    workspace: str
    phase: str
    routes: list[int] = field(default_factory=list)

    @classmethod
    def attach(
        cls, flow: http.HTTPFlow, workspace: Workspace, facts: RequestFacts, decision: Decision
    ) -> Judgement:
        """
        Judge *flow*.
        """
        judgement = cls(facts, decision, workspace.id, workspace.phase)
        flow.metadata[_KEY] = judgement
        return judgement

    @staticmethod
    def of(flow: http.HTTPFlow) -> Judgement | None:
        """
        The judgement of *flow*, `None` if it never reached the gate.
        """
        judgement = flow.metadata.get(_KEY)
        return judgement if isinstance(judgement, Judgement) else None
