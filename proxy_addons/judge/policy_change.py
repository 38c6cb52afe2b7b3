"""
Judge requests that are in progress again when the policy changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.policy import decide

from ..state.judgement import Judgement

if TYPE_CHECKING:
    from ..record.connection_log import ConnectionLogger
    from ..record.request_log import RequestLogger
    from ..state.connections import WorkspaceConnection

__all__ = ["recheck_connection"]

_CHANGED = "The policy changed while this request was in progress, and the connection was closed."


def recheck_connection(
    connection: WorkspaceConnection,
    request_logger: RequestLogger,
    connection_logger: ConnectionLogger,
) -> bool:
    """
    Judge the requests of a connection by the present policy of its workspace.

    That includes WebSockets, and requests that have their response and still send.

    Args:
        connection: of the workspace.
        request_logger: logs requests that have no log entry yet.
        connection_logger: logs the others.

    Returns:
        Whether a request is refused that was allowed before.
    """
    policy, refused = connection.workspace.policy, False
    for layer in connection.http_layers:
        for exchange in layer.active_streams():
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
            if request_logger.is_open(flow):
                judgement.decision = decision
            else:
                connection_logger.log_tunnel(connection, facts, decision)
    return refused
