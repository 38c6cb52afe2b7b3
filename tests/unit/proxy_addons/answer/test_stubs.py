"""Which requests a stub responds to, and what a policy still refuses."""

from __future__ import annotations

from typing import Any

import pytest

from proxy_addons.answer.stubs import admits_tunnel, find_stub, policy_for_stubs
from proxy_addons.state.routes import ProxyRoute
from pytest_codex_workspace.network.rules.policy import Policy, RequestFacts, decide
from tests.helpers.flows import ADDRESS, AddonChain

OFFLINE = Policy(offline=True)
ONE_HOST = Policy(allow=("other.example",))


def _chain(policy: Policy, *routes: dict[str, Any]) -> AddonChain:
    chain = AddonChain(policy)
    for number, route in enumerate(routes, 1):
        message = {"id": number, "kind": "stub", **route}
        chain.registry.add_route(ADDRESS, ProxyRoute.from_message(message))
    return chain


def _find(chain: AddonChain, **request: Any) -> int | None:
    connection = chain.connect(("example.org", 443))
    flow = chain.flow(connection, **request)
    facts = RequestFacts("example.org", method=flow.request.method, payload="http")
    decision = decide(facts, connection.workspace.policy)
    found = find_stub(flow.request, facts, decision, connection)
    return found.id if found else None


@pytest.mark.parametrize(
    ("policy", "route", "found"),
    [
        (Policy(), {"path": "/"}, True),
        (Policy(), {"host": "example.org"}, True),
        (Policy(), {"host": "other.example"}, False),
        (OFFLINE, {"host": "example.org"}, True),
        (OFFLINE, {"host": "*.org"}, True),
        (OFFLINE, {"path": "/"}, False),
        (OFFLINE, {"host": "*"}, False),
        (ONE_HOST, {"host": "example.org"}, True),
        (ONE_HOST, {"path": "/"}, False),
        (Policy(methods=("POST",)), {"host": "example.org"}, False),
        (Policy(), {"host": "example.org", "times": 0}, False),
        (Policy(), {"host": "example.org", "kind": "latency"}, False),
    ],
)
def test_a_stub_must_name_a_host_that_the_policy_refuses(
    policy: Policy, route: dict[str, Any], found: bool
) -> None:
    """
    A stub opens a refused host that it names, and nothing else that the policy refuses.
    """
    assert _find(_chain(policy, route)) == (1 if found else None)


def test_the_newest_stub_responds() -> None:
    """
    A test can override a stub of its fixture.
    """
    chain = _chain(Policy(), {"path": "/"}, {"path": "/", "method": "GET"}, {"path": "/x"})

    assert _find(chain) == 2
    assert _find(chain, path="/x") == 3
    assert _find(chain, method="PUT") == 1


@pytest.mark.parametrize(
    ("policy", "route", "port", "admitted"),
    [
        (OFFLINE, {"host": "example.org"}, 443, True),
        (OFFLINE, {"path": "/"}, 443, False),
        (OFFLINE, {"host": "other.example"}, 443, False),
        (OFFLINE, {"host": "example.org", "kind": "reset"}, 443, False),
        (OFFLINE, {"host": "example.org"}, 22, False),
    ],
)
def test_a_tunnel_opens_for_a_stub_that_names_its_host(
    policy: Policy, route: dict[str, Any], port: int, admitted: bool
) -> None:
    """
    The request inside the tunnel cannot be stubbed otherwise; other rules still refuse it.
    """
    connection = _chain(policy, route).connect()
    facts = RequestFacts("example.org", method="CONNECT", port=port, encrypted=False)

    assert admits_tunnel(facts, decide(facts, policy), connection) is admitted


def test_only_the_rules_about_hosts_are_lifted() -> None:
    """
    A stub does not make plain HTTP or a WebSocket acceptable.
    """
    policy = policy_for_stubs(Policy(offline=True, deny=("example.org",)))

    assert decide(RequestFacts("example.org"), policy).allowed
    assert decide(RequestFacts("10.0.0.1", addresses=("10.0.0.1",)), policy).allowed
    plain = RequestFacts("example.org", scheme="http", port=80, encrypted=False)
    assert decide(plain, policy).reason == "plain-http"
    assert decide(RequestFacts("example.org", websocket=True), policy).reason == "websocket"
