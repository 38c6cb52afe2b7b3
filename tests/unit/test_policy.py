"""The network policy: rules, names and addresses, without any proxy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.network.hosts import (
    host_matches,
    is_private,
    literal_address,
    normalise_host,
)
from pytest_codex_workspace.network.policy import (
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
def test_the_default_policy(facts: RequestFacts, reason: str | None) -> None:
    """
    `https-only` refuses what is not HTTPS, and says why in CONTRACT's words.
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
def test_other_policies(policy: Policy, facts: RequestFacts, reason: str | None) -> None:
    """
    Every field of a policy has its effect.
    """
    assert reason == decide(facts, policy).reason


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"])
def test_documentation_ranges_are_not_private(address: str) -> None:
    """
    Laboratory networks route real mirrors through these.
    """
    assert not is_private(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.9.8.7",
        "100.100.100.200",
        "127.9.9.9",
        "168.63.129.16",
        "169.254.1.1",
        "172.31.0.1",
        "192.168.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2001::1",
        "2002:a00:1::",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_private_addresses(address: str) -> None:
    """
    Each refused range counts, in IPv6 disguises too.
    """
    assert is_private(address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("face", None),
        ("1.2.3.4.5", None),
        ("example.org", None),
    ],
)
def test_literal_addresses(host: str, address: str | None) -> None:
    """
    Every spelling that a resolver would accept without asking anybody.
    """
    literal = literal_address(host)

    assert address == (str(literal) if literal else None)


@given(st.text(max_size=80))
def test_any_host_is_normalised_or_refused(host: str) -> None:
    """
    Normalising is stable, and nothing but `ValueError` comes out of it.
    """
    try:
        name = normalise_host(host)
    except ValueError:
        return

    assert name == normalise_host(name)
    assert name.isascii()


@pytest.mark.parametrize("host", ["a..b", "-a.example", "a" * 64, "a" * 2000, "a b", "[::1", "a:b"])
def test_what_is_no_host(host: str) -> None:
    """
    Names that no resolver should see are refused.
    """
    with pytest.raises(ValueError, match="is not a host name"):
        normalise_host(host)


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("example.org", "EXAMPLE.org.", True),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "badexample.org", False),
        ("*", "anything.example", True),
        ("*", "no host", False),
        ("::1", "[0::1]", True),
    ],
)
def test_host_patterns(pattern: str, host: str, matches: bool) -> None:
    """
    A pattern is a name, everything below a name, or everything.
    """
    assert matches == host_matches(pattern, host)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"port": [443]}, "unknown field port; was 'ports' meant"),
        ({"http": "yes"}, "http: 'yes' is not block or allow"),
        ({"ports": 443}, "ports: 443 is not a list"),
        ({"ports": [0]}, "ports: 0 is not a port number"),
        ({"ports": [True]}, "ports: True is not a port number"),
        ({"allow": "example.org"}, "allow: 'example.org' is not a list"),
        ({"allow": ["*.*.org"]}, "allow: .* is neither a host"),
        ({"deny": [1]}, "deny: 1 is not a host"),
        ({"methods": ["G T"]}, "methods: 'G T' is not an HTTP method"),
        ({"private": ["10.0.0.0/33"]}, "private: .* is not a network"),
        ({"offline": "no"}, "offline: 'no' is neither"),
        ({"name": ""}, "name: '' is not"),
        ([], "a mapping of fields"),
    ],
)
def test_a_policy_that_means_nothing(fields: dict[str, object], words: str) -> None:
    """
    The error names the field and what is wrong with it.
    """
    with pytest.raises(InvalidPolicy, match=words):
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
    Other fields change the built-in policy of that name.
    """
    assert Policy.from_dict({"name": "offline"}) == OFFLINE
    assert Policy.from_dict({"name": "offline", "ports": [1]}).offline
    with pytest.raises(InvalidPolicy, match="built in are https-only, offline"):
        Policy.named("none")


def test_the_modules_are_pure(tmp_path: Path) -> None:
    """
    They are copied into the proxy image alone, so they import the standard library only.
    """
    (tmp_path / "alone").mkdir()
    for module in ("policy", "fields", "hosts"):
        source = sys.modules[f"pytest_codex_workspace.network.{module}"].__file__
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


def test_decisions_are_values() -> None:
    """
    An allowed one has no reason.
    """
    assert Decision("allowed") == decide(SECURE, HTTPS_ONLY)
