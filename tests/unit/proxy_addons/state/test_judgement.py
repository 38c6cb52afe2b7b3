"""The judgement that travels with a flow."""

from __future__ import annotations

import hashlib

import pytest
from mitmproxy.test import tflow

from proxy_addons.state.judgement import (
    Judgement,
    digest_body,
    digest_of,
    judge_broken_request,
)
from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts
from tests.helpers.flows import ADDRESS, AddonChain


def test_a_judgement_keeps_the_phase_in_which_the_request_began() -> None:
    """
    A request belongs to the phase of its workspace at that time, whatever comes later.
    """
    chain = AddonChain()
    workspace = chain.registry.workspace(ADDRESS)
    assert workspace is not None
    flow, facts = tflow.tflow(), RequestFacts("example.org")
    made = Judgement.attach(flow, workspace, facts, Decision("allowed"))
    chain.registry.register(ADDRESS, "w1", "resume")

    assert Judgement.of(flow) is made
    assert (made.workspace, made.phase, made.facts) == ("w1", "test", facts)


def test_a_flow_that_never_reached_the_gate_has_no_judgement() -> None:
    """
    Nothing else in the metadata of a flow counts as a judgement.
    """
    flow = tflow.tflow()
    flow.metadata["codex_workspace_judgement"] = "forged"

    assert Judgement.of(flow) is None


def test_a_body_is_digested_only_on_request() -> None:
    """
    The running digest takes the pieces of the body.
    """
    flow = tflow.tflow()
    assert digest_of(flow) is None

    digest_body(flow)
    for piece in (b"a", b"b"):
        found = digest_of(flow)
        assert found is not None
        found.update(piece)
    assert found.hexdigest() == hashlib.sha256(b"ab").hexdigest()


@pytest.mark.parametrize(("is_sent", "verdict"), [(False, "blocked"), (True, "failed")])
def test_a_request_whose_body_is_broken_is_not_allowed(is_sent: bool, verdict: str) -> None:
    """
    The verdict says whether anything of the request has left.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(("example.org", 443)))
    chain.request(flow)
    judge_broken_request(flow, "illegal chunk header", is_sent=is_sent)

    judgement = Judgement.of(flow)
    assert judgement is not None
    assert (judgement.decision.verdict, judgement.decision.reason) == (verdict, "not-tls")
    assert "illegal chunk header" in judgement.decision.explanation
    assert ("sent to the server" in judgement.decision.explanation) == is_sent
