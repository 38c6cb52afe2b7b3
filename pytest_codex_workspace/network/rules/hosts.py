"""
Host names and addresses: normalisation, patterns, and private ranges.

This module is copied into the proxy image, so it imports the standard library
only.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
import socket

__all__ = [
    "Address",
    "any_matches",
    "host_matches",
    "is_private",
    "literal_address",
    "normalise_host",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Listed explicitly: `ipaddress.is_private` also covers the documentation
# ranges, and lab networks route real mirrors through those.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this network"; Linux treats 0.0.0.0 as loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and one cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "64:ff9b:1::/48",  # local-use NAT64
        "2001::/32",  # Teredo
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_INET_ATON = re.compile(r"[0-9a-fA-FxX.]+", re.ASCII)
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)


def normalise_host(host: str) -> str:
    """
    Return the canonical spelling of a host, for comparisons.

    The result is lower case and IDNA-encoded, without a trailing dot and
    without brackets around an IPv6 address. An IPv4 address is in dotted form,
    however it was spelled.

    Raises:
        ValueError: *host* is neither a host name nor an address.
    """
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in text:
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError:
            raise ValueError(f"{host!r} is not a host name") from None
        if address.scope_id is not None:
            raise ValueError(f"{host!r} is an address of one network interface")
        return str(address.ipv4_mapped or address)
    if len(text) > 1024:  # IDNA takes quadratic time
        raise ValueError(f"a name of {len(text)} characters is not a host name")
    text = text.removesuffix(".")
    try:
        text = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"{host!r} is not a host name") from None
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError(f"{host!r} is not a host name")
    address_spelled = literal_address(text)
    return text if address_spelled is None else str(address_spelled)


def host_matches(pattern: str, host: str) -> bool:
    """
    Check whether *host* matches *pattern*: a host, `*.domain`, or `*`.
    """
    return any_matches((pattern,), host)


def any_matches(patterns: tuple[str, ...], host: str) -> bool:
    """
    Check whether *host* matches any of *patterns*.

    The patterns are compiled once, so that long lists stay fast.
    """
    try:
        name = normalise_host(host)
    except ValueError:
        return False
    exact, suffixes, everything = _compiled(patterns)
    if everything or name in exact:
        return True
    rest = name
    while suffixes and (dot := rest.find(".")) >= 0:
        rest = rest[dot + 1 :]
        if rest in suffixes:
            return True
    return False


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str], bool]:
    """
    Return the exact names, the domains of `*.domain`, and whether `*` is listed.
    """
    exact: set[str] = set()
    suffixes: set[str] = set()
    for pattern in patterns:
        wild = pattern.startswith("*.")
        with contextlib.suppress(ValueError):
            (suffixes if wild else exact).add(normalise_host(pattern[2:] if wild else pattern))
    return frozenset(exact), frozenset(suffixes), "*" in patterns


def literal_address(host: str) -> Address | None:
    """
    Return the IP address that *host* spells; `None` for a host name.

    All spellings that a resolver accepts count, such as `127.1`, `0x7f000001`,
    `017700000001` and `[::1]`.
    """
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    text = text.removesuffix(".")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    if not _INET_ATON.fullmatch(text):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def is_private(
    address: str | Address, allow: tuple[str, ...] = (), refuse: tuple[str, ...] = ()
) -> bool:
    """
    Check whether connections to *address* are refused.

    An address is refused if it is in a private range or in *refuse*, and not
    in *allow*. For an IPv6 address that embeds an IPv4 address, both are checked.

    Raises:
        ValueError: *address* is not an IP address.
    """
    whole = ipaddress.ip_address(address)
    allowed = _networks(allow)
    refused = (*_PRIVATE, *_networks(refuse))
    return any(
        _within(each, refused) and not _within(each, allowed) for each in (whole, *_embedded(whole))
    )


def _embedded(address: Address) -> list[Address]:
    """
    Return the IPv4 addresses that are embedded in an IPv6 address.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 0xFFFF):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@functools.lru_cache(maxsize=256)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
