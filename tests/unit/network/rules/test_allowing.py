"""Tests of what would allow a request of the log."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_codex_workspace.network.rules.allowing import policy_for, private_networks
from pytest_codex_workspace.network.rules.hosts import is_private
from pytest_codex_workspace.network.rules.policy import (
    HTTPS_ONLY,
    OFFLINE,
    Policy,
    RequestFacts,
    decide,
)

from ..test_problems import CASES, judged


@pytest.mark.parametrize(("policy", "facts"), CASES)
def test_the_fields_allow_the_request(policy: Policy, facts: dict[str, Any]) -> None:
    """
    The policy with them allows what the policy without them blocks.
    """
    asked = RequestFacts(**{"host": "cdn.example.org", **facts})
    assert not decide(asked, policy).allowed

    assert decide(asked, policy.but(**policy_for(judged(policy, **facts)))).allowed


@pytest.mark.parametrize(
    ("policy", "facts"),
    [
        (Policy(name="p", deny=("*.example.org",)), {}),
        (HTTPS_ONLY, {"scheme": "dns", "method": "DNS"}),
        (HTTPS_ONLY, {"payload": "not-tls"}),
        (HTTPS_ONLY, {"payload": "malformed", "encrypted": False, "scheme": "http", "port": 80}),
        (HTTPS_ONLY, {"host": "proxy", "encrypted": False, "scheme": "http", "port": 80}),
        (OFFLINE, {"names": (("SNI", "other.example"),), "host": "a b"}),
        (HTTPS_ONLY, {"port": 0}),
    ],
)
def test_there_are_no_fields_where_none_would_help(policy: Policy, facts: dict[str, Any]) -> None:
    """
    Such as for a host that the policy denies, and for what is no request.
    """
    assert policy_for(judged(policy, **facts)) == {}


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("10.1.2.3", ("10.1.2.3/32",)),
        ("fd00::1", ("fd00::1/128",)),
        ("64:ff9b::a01:203", ("10.1.2.3/32",)),
    ],
)
def test_a_private_address_is_opened_by_the_smallest_networks(
    address: str, networks: tuple[str, ...]
) -> None:
    """
    The address that an IPv6 address has inside is the one that counts for a translator's.
    """
    assert private_networks(address) == networks
    assert is_private(address)
    assert not is_private(address, networks)
