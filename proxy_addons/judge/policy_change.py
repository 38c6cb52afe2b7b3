"""
Judging anew what is under way when a policy changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.policy import decide

from ..state.judgement import Judgement

if TYPE_CHECKING:
    from ..record.connection_log import Incidents
    from ..record.request_log import Recorder
    from ..state.connections import Conversation

__all__ = ["reconsider"]

_CHANGED = "The policy was changed while this was under way, and it was cut off."


def reconsider(conversation: Conversation, recorder: Recorder, incidents: Incidents) -> bool:
    """
    Judge the requests of a connection by the present policy of its workspace,
    those too that have their answer and go on sending, and WebSockets.

    Returns:
        Whether one is refused that was allowed.
    """
    policy, refused = conversation.workspace.policy, False
    for layer in conversation.layers:
        for exchange in layer.exchanges():
            flow = exchange.flow
            judgement = Judgement.of(flow)
            if judgement is None or not judgement.decision.allowed:
                continue
            facts = replace(judgement.facts, websocket=flow.websocket is not None)
            # A tunnel is judged by what it carries.
            if facts.method == "CONNECT" or (decision := decide(facts, policy)).allowed:
                continue
            refused = True
            decision = replace(decision, explanation=f"{decision.explanation} {_CHANGED}")
            if recorder.is_open(flow):
                judgement.decision = decision
            else:
                incidents.tunnel(conversation, facts, decision)
    return refused
