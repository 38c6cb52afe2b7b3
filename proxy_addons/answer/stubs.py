"""
Stubs: responses that a test gives in place of a server.

The gate asks for them, so that every request is judged in one place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.policy import decide

if TYPE_CHECKING:
    from mitmproxy import http

    from pytest_codex_workspace.network.rules.policy import Decision, Policy, RequestFacts

    from ..state.connections import WorkspaceConnection
    from ..state.routes import ProxyRoute

__all__ = ["admits_tunnel", "find_stub", "policy_for_stubs"]

_REFUSED_FOR_HOST = ("host-not-allowed", "offline", "private-address")


def policy_for_stubs(policy: Policy) -> Policy:
    """
    Return *policy* with every host allowed. All other rules stay.

    A stubbed request never leaves the proxy, so its host does not matter.
    """
    everywhere = ("0.0.0.0/0", "::/0")
    return replace(policy, offline=False, allow=(), deny=(), private=everywhere)


def admits_tunnel(facts: RequestFacts, decision: Decision, connection: WorkspaceConnection) -> bool:
    """
    Check whether a tunnel that the policy refuses must open for a stub that names its host.

    Each request inside the tunnel is judged again.
    """
    workspace = connection.workspace
    return (
        decision.reason in _REFUSED_FOR_HOST
        and any(route.kind == "stub" and route.names(facts.host) for route in workspace.routes)
        and decide(facts, policy_for_stubs(workspace.policy)).allowed
    )


def find_stub(
    request: http.Request,
    facts: RequestFacts,
    decision: Decision,
    connection: WorkspaceConnection,
    *,
    whole: bool = False,
) -> ProxyRoute | None:
    """
    Return the newest stub that may respond to a request, `None` if there is none.

    If the policy allows the request, every stub that matches may respond. If the
    policy refuses only its host, the stub must name that host.

    Args:
        request: the request.
        facts: what is known of it.
        decision: what the policy says of it.
        connection: whose request it is.
        whole: whether its body is there, too, and must match.
    """
    workspace = connection.workspace
    for route in workspace.routes:
        if route.kind != "stub" or not route.matches(request, facts.host):
            continue
        if whole and not route.matches_body(request):
            continue
        if decision.allowed:
            return route
        if (
            decision.reason in _REFUSED_FOR_HOST
            and route.names(facts.host)
            and decide(facts, policy_for_stubs(workspace.policy)).allowed
        ):
            return route
    return None
