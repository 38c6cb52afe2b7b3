"""Tests of the description of a policy."""

from __future__ import annotations

from pytest_codex_workspace.network.describe import describe_policy
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, OFFLINE, OPEN, Policy


def test_the_default_policy_is_described() -> None:
    """
    Every topic has a line, except denied hosts if there are none.
    """
    assert describe_policy(HTTPS_ONLY) == [
        ("hosts", "any"),
        ("ports", "443"),
        ("methods", "any"),
        ("plain HTTP", "blocked"),
        ("WebSocket", "blocked"),
        ("private", "private and reserved addresses are blocked"),
    ]


def test_an_offline_policy_needs_one_line() -> None:
    """
    The other fields of an offline policy have no effect, so they are not shown.
    """
    assert describe_policy(OFFLINE) == [("network", "nothing may be reached")]


def test_lists_are_described() -> None:
    """
    Hosts, ports, methods and networks are listed with their effect.
    """
    policy = Policy(
        allow=("a.test",),
        deny=("b.test",),
        http="allow",
        ports=(443, 8443),
        methods=("GET",),
        private=("10.0.0.0/8",),
        refuse=("203.0.113.0/24",),
    )

    assert dict(describe_policy(policy, "the registries")) == {
        "hosts": "a.test, the registries; no others",
        "denied": "b.test; this takes precedence over allowed hosts",
        "ports": "443, 8443, and 80 for plain HTTP",
        "methods": "GET",
        "plain HTTP": "allowed",
        "WebSocket": "blocked",
        "private": "private and reserved addresses are blocked, except 10.0.0.0/8; "
        "so are 203.0.113.0/24",
    }
    assert dict(describe_policy(OPEN))["ports"] == "any"
