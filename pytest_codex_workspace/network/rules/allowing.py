"""
The fields of a policy that would allow a request of the log, as far as the log says enough.

This module is copied into the proxy image, so it imports the standard library
only.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Mapping

from .hosts import is_private, literal_address
from .policy import DENIED, HTTPS_ONLY, OPEN, RequestFacts, decide
from .request import Request

__all__ = ["beside_host", "facts_of_logged", "policy_for", "private_networks"]

_SWITCHED = 101
_HTTP_PORT = 80
_RESOLVED = re.compile(r" resolves to ([0-9a-fA-F:., ]+), a private or reserved address", re.ASCII)
_ANYTHING = OPEN.but(name="anything", private=("0.0.0.0/0", "::/0"))
_GATEWAY = "proxy"
"""The proxy's own name, under which connections are logged that have not said where they lead."""


def policy_for(request: Request) -> Mapping[str, object]:
    """
    Return the fields that would allow *request*, as far as the log has what is needed.
    """
    facts = facts_of_logged(request)
    if facts is None or (request.reason == "host-not-allowed" and DENIED in request.explanation):
        return {}
    match request.reason:
        case "host-not-allowed":
            return {"allow": [request.host], **_private(facts)}
        case "offline":
            return {"allow": [request.host], **beside_host(facts), **_private(facts)}
        case "plain-http" | "websocket" | "port-not-allowed":
            # Each of these is refused before the next is looked at.
            return beside_host(facts)
    return {}


def facts_of_logged(request: Request) -> RequestFacts | None:
    """
    Return the facts of a request in the log, as far as a policy can judge them again.

    Returns:
        The facts; `None` for what no policy allows, such as a look-up or a malformed request.
    """
    facts = RequestFacts(
        host=request.host,
        method=request.method,
        scheme=request.scheme,
        port=request.port,
        encrypted=request.scheme == "https" and request.method != "CONNECT",
        names=(("name", ""),) if request.reason == "name-mismatch" else (),
        websocket=request.reason == "websocket" or request.status == _SWITCHED,
        payload="not-tls" if request.reason == "not-tls" else "http",
        addresses=_refused_addresses(request),
    )
    if request.host == _GATEWAY or not 0 < request.port < 1 << 16:
        return None
    if not decide(facts, _ANYTHING).allowed:
        return None
    # The explanation is the only place that has the rest.
    if request.reason == "plain-http":
        malformed = RequestFacts(facts.host, scheme="http", encrypted=False, payload="malformed")
        if request.explanation.startswith(decide(malformed, HTTPS_ONLY).explanation):
            return None
    if request.reason == "websocket" and request.explanation:
        asked = RequestFacts(facts.host, websocket=True)
        if not request.explanation.startswith(decide(asked, HTTPS_ONLY).explanation):
            return None  # A server switched protocols, and nobody had asked it to.
    is_nameless = literal_address(request.host) is None and not facts.addresses
    return None if request.reason == "private-address" and is_nameless else facts


def beside_host(facts: RequestFacts) -> dict[str, object]:
    """
    Return the fields that `https-only` lacks for *facts*, besides hosts and private networks.
    """
    fields: dict[str, object] = {}
    if facts.websocket:
        fields["websocket"] = "allow"
    if not facts.encrypted and facts.method != "CONNECT":
        fields["http"] = "allow"
        if facts.port == _HTTP_PORT and facts.scheme == "http":
            return fields
    if facts.port not in HTTPS_ONLY.ports:
        fields["ports"] = [*HTTPS_ONLY.ports, facts.port]
    return fields


def private_networks(address: str) -> tuple[str, ...]:
    """
    Return the fewest and smallest networks that open a private address; an IPv6 address may
    have an IPv4 address inside, which counts as well.
    """
    whole = ipaddress.ip_address(address)
    parts = [str(ipaddress.ip_network(whole))]
    if isinstance(whole, ipaddress.IPv6Address):
        inside = [whole.sixtofour, ipaddress.IPv4Address(int(whole) & 0xFFFFFFFF)]
        parts += [str(ipaddress.ip_network(each)) for each in inside if each is not None]
    for size in range(1, len(parts)):
        for chosen in itertools.combinations(parts, size):
            if not is_private(whole, chosen):
                return chosen
    return tuple(parts)


def _private(facts: RequestFacts) -> dict[str, object]:
    literal = literal_address(facts.host)
    if literal is None or not is_private(literal):
        return {}
    return {"private": list(private_networks(str(literal)))}


def _refused_addresses(request: Request) -> tuple[str, ...]:
    """
    Return the addresses that the explanation of a refused name has.
    """
    found = _RESOLVED.search(request.explanation) if request.reason == "private-address" else None
    addresses = (literal_address(each) for each in found[1].split(", ")) if found else ()
    return tuple(str(each) for each in addresses if each is not None)
