"""Tests of host names and addresses: normalisation, patterns, and private ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.network.rules.hosts import (
    host_matches,
    is_private,
    literal_address,
    normalise_host,
)


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"])
def test_documentation_ranges_are_not_private(address: str) -> None:
    """
    The documentation ranges are allowed: lab networks route real mirrors through them.
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
def test_private_addresses_are_refused(address: str) -> None:
    """
    Each private range is refused, also if it is embedded in an IPv6 address.
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
def test_literal_addresses_are_recognised(host: str, address: str | None) -> None:
    """
    Every spelling that a resolver accepts without a look-up is recognised.
    """
    literal = literal_address(host)

    assert address == (str(literal) if literal else None)


@given(st.text(max_size=80))
def test_any_host_is_normalised_or_rejected(host: str) -> None:
    """
    Normalising is idempotent, and raises nothing but `ValueError`.
    """
    try:
        name = normalise_host(host)
    except ValueError:
        return

    assert name == normalise_host(name)
    assert name.isascii()


@pytest.mark.parametrize("host", ["a..b", "-a.example", "a" * 64, "a" * 2000, "a b", "[::1", "a:b"])
def test_invalid_hosts_are_rejected(host: str) -> None:
    """
    Names that are not valid host names are rejected.
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
def test_patterns_match_hosts(pattern: str, host: str, matches: bool) -> None:
    """
    A pattern is a host, all subdomains of a domain, or everything.
    """
    assert matches == host_matches(pattern, host)
