"""Tests of the network policy and its rules, without a proxy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_codex_workspace.network.rules.policy import (
    HTTPS_ONLY,
    OFFLINE,
    Decision,
    InvalidPolicy,
    Policy,
    RequestFacts,
    decide,
)

PLAIN = RequestFacts("example.org", scheme="http", port=80, encrypted=False)
CONNECT = RequestFacts("example.org", method="CONNECT", encrypted=False)
SECURE = RequestFacts("example.org")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (SECURE, None),
        (CONNECT, None),
        (PLAIN, "plain-http"),
        (replace(PLAIN, scheme="https", port=443), "not-tls"),
        (replace(PLAIN, websocket=True), "websocket"),
        (replace(SECURE, websocket=True), "websocket"),
        (replace(SECURE, port=8443), "port-not-allowed"),
        (replace(CONNECT, port=22), "port-not-allowed"),
        (replace(SECURE, names=(("SNI", "example.org"),)), None),
        (replace(SECURE, names=(("SNI", "EXAMPLE.org."), ("Host header", "example.org"))), None),
        (replace(SECURE, names=(("SNI", "other.example"),)), "name-mismatch"),
        (replace(SECURE, names=(("Host header", "example.org@evil"),)), "name-mismatch"),
        (replace(SECURE, names=(("Host header", ""),)), "name-mismatch"),
        (replace(SECURE, host="exa mple.org"), "name-mismatch"),
        (replace(SECURE, host=""), "name-mismatch"),
        (replace(SECURE, host="[2606:4700::1]", names=(("Host", "2606:4700:0::1"),)), None),
        (replace(SECURE, host="bücher.example", names=(("SNI", "xn--bcher-kva.example"),)), None),
        (replace(CONNECT, payload="not-tls"), "not-tls"),
        (replace(CONNECT, payload="not-http"), "not-tls"),
        (replace(SECURE, payload="malformed"), "not-tls"),
        (replace(PLAIN, payload="malformed"), "plain-http"),
        (replace(SECURE, host="10.0.0.1"), "private-address"),
        (replace(SECURE, host="169.254.169.254"), "private-address"),
        (replace(SECURE, host="127.1"), "private-address"),
        (replace(SECURE, host="2130706433"), "private-address"),
        (replace(SECURE, host="0x7f.0.0.1"), "private-address"),
        (replace(SECURE, host="[::ffff:10.0.0.1]"), "private-address"),
        (replace(SECURE, addresses=("93.184.216.34",)), None),
        (replace(SECURE, addresses=("10.0.0.1",)), "private-address"),
        (replace(SECURE, addresses=("10.0.0.1", "93.184.216.34")), None),
        (replace(SECURE, addresses=("fd00::1", "127.0.0.1")), "private-address"),
        (RequestFacts("example.org", method="DNS", scheme="dns", port=53), "direct-dns"),
    ],
)
def test_the_default_policy_allows_https_only(facts: RequestFacts, reason: str | None) -> None:
    """
    `https-only` blocks everything but HTTPS, with the documented reasons.
    """
    decision = decide(facts, HTTPS_ONLY)

    assert reason == decision.reason
    assert decision.allowed == (reason is None)
    assert bool(decision.explanation) == (reason is not None)


@pytest.mark.parametrize(
    ("policy", "facts", "reason"),
    [
        (OFFLINE, SECURE, "offline"),
        (OFFLINE, PLAIN, "offline"),
        (OFFLINE, CONNECT, "offline"),
        (Policy(http="allow"), PLAIN, None),
        (Policy(http="allow"), replace(PLAIN, port=8000), "port-not-allowed"),
        (Policy(http="allow"), replace(PLAIN, scheme="https"), "not-tls"),
        (Policy(http="allow"), replace(CONNECT, port=80), "port-not-allowed"),
        (Policy(http="allow"), replace(PLAIN, websocket=True), "websocket"),
        (Policy(websocket="allow"), replace(SECURE, websocket=True), None),
        (Policy(websocket="allow"), replace(PLAIN, websocket=True), "plain-http"),
        (Policy(ports=(443, 8443)), replace(SECURE, port=8443), None),
        (Policy(ports=()), replace(SECURE, port=9), None),
        (Policy(allow=("example.org",)), SECURE, None),
        (
            Policy(allow=("example.org",)),
            replace(SECURE, host="sub.example.org"),
            "host-not-allowed",
        ),
        (Policy(allow=("*.example.org",)), replace(SECURE, host="sub.example.org"), None),
        (Policy(allow=("*.example.org",)), SECURE, "host-not-allowed"),
        (Policy(deny=("example.org",)), SECURE, "host-not-allowed"),
        (Policy(allow=("*",), deny=("*.example.org",)), SECURE, None),
        (Policy(methods=("GET",)), replace(SECURE, method="POST"), "method-not-allowed"),
        (Policy(methods=("GET",)), CONNECT, None),
        (Policy(methods=("get",)), SECURE, None),
        (Policy(private=("10.0.0.0/8",)), replace(SECURE, host="10.0.0.1"), None),
        (Policy(private=("10.0.0.0/8",)), replace(SECURE, host="192.168.0.1"), "private-address"),
        (
            Policy(refuse=("203.0.113.0/24",)),
            replace(SECURE, host="203.0.113.9"),
            "private-address",
        ),
    ],
)
def test_every_field_has_an_effect(policy: Policy, facts: RequestFacts, reason: str | None) -> None:
    """
    Each field of a policy changes decisions as documented.
    """
    assert reason == decide(facts, policy).reason


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"port": [443]}, r"unknown field port \(did you mean 'ports'\?\)"),
        ({"http": "yes"}, "http: 'yes' is not 'block' or 'allow'"),
        ({"ports": 443}, "ports: 443 is not a list"),
        ({"ports": [0]}, "ports: 0 is not a port number"),
        ({"ports": [True]}, "ports: True is not a port number"),
        ({"allow": "example.org"}, "allow: 'example.org' is not a list"),
        ({"allow": ["*.*.org"]}, "allow: .* is neither a host"),
        ({"deny": [1]}, "deny: 1 is not a host"),
        ({"methods": ["G T"]}, "methods: 'G T' is not an HTTP method"),
        ({"private": ["10.0.0.0/33"]}, "private: .* is not a network"),
        ({"offline": "no"}, "offline: 'no' is not true or false"),
        ({"name": ""}, "name: '' must be"),
        ([], "must be a mapping of fields"),
    ],
)
def test_an_invalid_policy_is_rejected(fields: dict[str, object], message: str) -> None:
    """
    The error names the field and the problem.
    """
    with pytest.raises(InvalidPolicy, match=message):
        Policy.from_dict(fields)


@pytest.mark.parametrize(
    "policy",
    [
        HTTPS_ONLY,
        OFFLINE,
        Policy(name="mine", ports=(1, 2), allow=("*.Example.org",), private=("10.0.0.0/8",)),
    ],
)
def test_a_policy_survives_json(policy: Policy) -> None:
    """
    `from_dict` reads what `to_dict` wrote.
    """
    assert policy == Policy.from_dict(json.loads(json.dumps(policy.to_dict())))


def test_a_name_alone_is_the_built_in_policy() -> None:
    """
    `from_dict` starts from the built-in policy of the given name.
    """
    assert Policy.from_dict({"name": "offline"}) == OFFLINE
    assert Policy.from_dict({"name": "offline", "ports": [1]}).offline
    with pytest.raises(InvalidPolicy, match="the built-in policies are codex-setup, https-only"):
        Policy.named("none")


def test_the_policy_imports_the_standard_library_only(tmp_path: Path) -> None:
    """
    The modules work in the proxy image, where only these files are copied.
    """
    (tmp_path / "alone").mkdir()
    for module in ("policy", "fields", "hosts"):
        source = sys.modules[f"pytest_codex_workspace.network.rules.{module}"].__file__
        shutil.copy(str(source), tmp_path / "alone")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); "
        "import alone.policy; names = {n.partition('.')[0] for n in set(sys.modules) - before}; "
        "print(*names - sys.stdlib_module_names)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, tmp_path], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "alone"


def test_decisions_are_compared_by_value() -> None:
    """
    Every allowed decision is equal, and has no reason.
    """
    assert Decision("allowed") == decide(SECURE, HTTPS_ONLY)
