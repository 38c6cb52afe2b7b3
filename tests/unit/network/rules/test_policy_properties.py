"""Properties of every policy decision, for arbitrary requests and policies."""

from __future__ import annotations

import ipaddress
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.network.rules.hosts import any_matches, host_matches, literal_address
from pytest_codex_workspace.network.rules.policy import OFFLINE, Policy, RequestFacts, decide

pytestmark = pytest.mark.slow

# Not by a regular expression, which takes most of the time of a test.
labels = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12).map(
    lambda text: text.strip("-") or "0"
)
# Numbers are addresses, of which one has many spellings.
names = (
    st.lists(labels, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda name: literal_address(name) is None)
)
patterns = st.one_of(names, names.map("*.{}".format))
switch = st.sampled_from(["block", "allow"])
policies = st.builds(
    Policy,
    http=switch,
    websocket=switch,
    ports=st.lists(st.integers(1, 65535), max_size=3).map(tuple),
    allow=st.lists(patterns, max_size=4).map(tuple),
    deny=st.lists(patterns, max_size=4).map(tuple),
    methods=st.lists(st.sampled_from(["GET", "HEAD", "POST"]), max_size=2).map(tuple),
)
facts = st.builds(
    RequestFacts,
    host=st.one_of(names, st.text(max_size=30)),
    method=st.one_of(st.sampled_from(["GET", "POST", "CONNECT", "DNS"]), st.text(max_size=8)),
    scheme=st.sampled_from(["https", "http", "dns"]),
    port=st.one_of(st.sampled_from([443, 80]), st.integers(0, 70000)),
    encrypted=st.booleans(),
    names=st.lists(
        st.tuples(st.just("SNI"), st.one_of(names, st.text(max_size=20))), max_size=2
    ).map(tuple),
    websocket=st.booleans(),
    payload=st.sampled_from(["http", "not-tls", "not-http", "malformed"]),
)


@given(facts, policies)
def test_every_decision_has_a_reason_or_is_allowed(asked: RequestFacts, policy: Policy) -> None:
    """
    `decide` never raises, and every refusal has a reason and an explanation.
    """
    decision = decide(asked, policy)

    assert decision.allowed == (decision.reason is None)
    assert decision.allowed != bool(decision.explanation)


@given(facts, policies)
def test_an_allowed_request_satisfies_every_rule(asked: RequestFacts, policy: Policy) -> None:
    """
    An allowed request satisfies each rule, stated independently of the code.
    """
    if not decide(asked, policy).allowed:
        return

    assert asked.payload == "http"
    assert asked.scheme != "dns"
    assert asked.encrypted or asked.method == "CONNECT" or policy.http == "allow"
    assert not asked.websocket or policy.websocket == "allow"
    assert not any(host_matches(pattern, asked.host) for pattern in policy.deny)
    assert not policy.allow or any(host_matches(pattern, asked.host) for pattern in policy.allow)
    assert all(host_matches(name, asked.host) for _, name in asked.names)
    assert not policy.methods or asked.method in (*policy.methods, "CONNECT")
    plain = policy.http == "allow" and asked.scheme == "http"
    assert not policy.ports or asked.port in policy.ports or (plain and asked.port == 80)


@given(facts, policies)
def test_nothing_is_allowed_offline(asked: RequestFacts, policy: Policy) -> None:
    """
    An offline policy blocks every request, whatever its other fields say.
    """
    assert not decide(asked, OFFLINE).allowed
    assert not decide(asked, replace(policy, offline=True)).allowed


@given(policies, names)
def test_a_denied_host_is_blocked(policy: Policy, host: str) -> None:
    """
    A denied host is blocked, even if the policy allows it.
    """
    stricter = policy.but(deny=[host], allow=[host])

    assert not decide(RequestFacts(host), stricter).allowed


@given(facts, policies, names)
def test_denying_a_host_changes_no_other_host(
    asked: RequestFacts, policy: Policy, denied: str
) -> None:
    """
    Denying a host only ever blocks that host: other decisions stay the same.
    """
    before, after = decide(asked, policy), decide(asked, policy.but(deny=[denied]))

    if host_matches(denied, asked.host):
        assert not after.allowed
    else:
        assert after == before


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), policies)
def test_a_private_address_is_blocked_in_any_spelling(
    address: ipaddress.IPv4Address, policy: Policy
) -> None:
    """
    Decimal, hexadecimal, octal, shortened and IPv6-mapped spellings are all blocked.
    """
    number, octets = int(address), address.packed
    spellings = [
        str(address),
        f"{address}.",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{octets[0]}.{number & 0xFFFFFF}",
        ".".join(hex(octet) for octet in octets),
        f"::ffff:{address}",
        f"[::{address}]",
        f"64:ff9b::{address}",
    ]

    for host in spellings:
        assert not decide(RequestFacts(host), policy).allowed


@given(st.lists(patterns, max_size=8).map(tuple), names)
def test_compiled_patterns_match_like_single_patterns(many: tuple[str, ...], host: str) -> None:
    """
    Matching many compiled patterns is the same as matching each by itself.
    """

    def simple(pattern: str) -> bool:
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern

    assert any_matches(many, host) == any(simple(pattern) for pattern in many)
