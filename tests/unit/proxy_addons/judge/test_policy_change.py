"""Requests that are in progress when the policy changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mitmproxy import http

from proxy_addons.judge.policy_change import recheck_connection
from proxy_addons.state.connections import WorkspaceConnection
from proxy_addons.state.judgement import Judgement
from pytest_codex_workspace.network.rules.policy import Policy
from tests.helpers.flows import ADDRESS, AddonChain

OFFLINE = Policy(offline=True)


def _in_progress(chain: AddonChain, policy: Policy) -> tuple[WorkspaceConnection, http.HTTPFlow]:
    """
    Send a request that is allowed, then change the policy.
    """
    connection = chain.connect(("example.org", 443), sni="example.org")
    flow = chain.flow(connection)
    assert chain.request(flow) is None
    layer = SimpleNamespace(active_streams=lambda: iter([SimpleNamespace(flow=flow)]))
    connection.http_layers.append(layer)  # type: ignore[arg-type]
    chain.registry.set_policy(ADDRESS, policy)
    return connection, flow


def _recheck(chain: AddonChain, connection: WorkspaceConnection) -> bool:
    return recheck_connection(connection, chain.request_logger, chain.connection_logger)


@pytest.mark.parametrize(("policy", "refused"), [(OFFLINE, True), (Policy(deny=("a.b",)), False)])
def test_a_request_without_its_response_is_judged_again(policy: Policy, refused: bool) -> None:
    """
    Only what the new policy refuses ends, and its own log entry says so.
    """
    chain = AddonChain()
    connection, flow = _in_progress(chain, policy)

    assert _recheck(chain, connection) is refused
    judgement = Judgement.of(flow)
    assert judgement is not None
    assert (judgement.decision.reason == "offline") is refused
    assert ("The policy changed" in judgement.decision.explanation) is refused
    assert chain.events == []


def test_a_request_with_its_response_gets_an_entry_of_its_own() -> None:
    """
    The log has an allowed request already, so a second entry says that its connection was closed.
    """
    chain = AddonChain()
    connection, flow = _in_progress(chain, OFFLINE)
    flow.response = http.Response.make(200)
    chain.request_logger.response(flow)

    assert _recheck(chain, connection)
    assert [event["verdict"] for event in chain.events] == ["allowed", "blocked"]
    assert "The policy changed" in chain.events[1]["explanation"]


def test_a_refused_request_is_not_judged_again() -> None:
    """
    It keeps the decision and the explanation that its client has seen.
    """
    chain = AddonChain()
    connection, flow = _in_progress(chain, OFFLINE)
    assert _recheck(chain, connection)
    before = Judgement.of(flow)
    assert before is not None
    decision = before.decision

    assert not _recheck(chain, connection)
    assert before.decision is decision
