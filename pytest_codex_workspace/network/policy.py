"""
The network policy: one pure function that judges one request.

`decide` knows nothing of mitmproxy, pytest or containers; the proxy's addons
gather `RequestFacts` and carry the `Decision` out. This module is copied into
the proxy image, so it imports the standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = [
    "HTTPS_ONLY",
    "OFFLINE",
    "POLICIES",
    "REASONS",
    "VERDICTS",
    "Decision",
    "InvalidPolicy",
    "Payload",
    "Policy",
    "Reason",
    "RequestFacts",
    "Verdict",
    "decide",
    "host_matches",
    "is_private",
    "literal_address",
    "normalise_host",
]

Verdict = Literal["allowed", "blocked", "stubbed", "replayed", "failed"]
"""What became of a request."""

Reason = Literal[
    "plain-http",
    "websocket",
    "not-tls",
    "host-not-allowed",
    "method-not-allowed",
    "port-not-allowed",
    "name-mismatch",
    "private-address",
    "offline",
    "direct-dns",
    "cassette-miss",
    "upstream-error",
]
"""Why a request was blocked or failed."""

Payload = Literal["http", "not-tls", "not-http", "malformed"]
"""What the bytes of a connection were recognised as."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Listed one by one on purpose: `ipaddress.is_private` also covers the
# documentation ranges, through which laboratory networks route real mirrors.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux treats 0.0.0.0 as loopback
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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}", re.ASCII)
_METHOD = re.compile(r"[A-Z][A-Z_-]{0,31}", re.ASCII)


class InvalidPolicy(ValueError):
    """
    A policy that cannot be used. The text names the field.
    """


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What a workspace may reach.

    Attributes:
        name: shown in every refusal.
        offline: refuse everything.
        http: `block` or `allow` requests that are not encrypted.
        websocket: `block` or `allow` WebSocket connections.
        ports: ports that may be connected to; empty means any. Plain HTTP,
            where it is allowed, may use port 80 as well.
        allow: hosts that may be reached (`example.org`, `*.example.org`);
            empty means any.
        deny: hosts that may not be reached; wins over `allow`.
        methods: methods that may be used; empty means any.
        private: networks (CIDR) that may be reached although they are
            private; wins over `refuse`.
        refuse: networks (CIDR) that may not be reached, on top of the
            private ones.

    Raises:
        InvalidPolicy: a field has a value that means nothing.
    """

    name: str = "https-only"
    offline: bool = False
    http: Literal["block", "allow"] = "block"
    websocket: Literal["block", "allow"] = "block"
    ports: tuple[int, ...] = (443,)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidPolicy(f"name: {self.name!r} is not a short plain name")
        if not isinstance(self.offline, bool):
            raise InvalidPolicy(f"offline: {self.offline!r} is neither true nor false")
        for field in ("http", "websocket"):
            if getattr(self, field) not in ("block", "allow"):
                raise InvalidPolicy(f"{field}: {getattr(self, field)!r} is not block or allow")
        for field, parse in _PARSERS.items():
            values = getattr(self, field)
            if isinstance(values, str) or not isinstance(values, (tuple, list)):
                raise InvalidPolicy(f"{field}: {values!r} is not a list")
            try:
                clean = tuple(parse(value) for value in values)
            except (TypeError, ValueError) as error:
                raise InvalidPolicy(f"{field}: {error}") from None
            object.__setattr__(self, field, clean)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Policy:
        """
        A policy from plain data, as `to_dict` gives it.

        Args:
            data: fields by name. Those left out are as in the built-in
                policy of that name, or else as in `https-only`.

        Raises:
            InvalidPolicy: an unknown field, or a value that means nothing.
        """
        if not isinstance(data, Mapping):
            raise InvalidPolicy(f"a policy is a mapping of fields, not {data!r}")
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [str(key) for key in data if key not in known]:
            raise InvalidPolicy(
                f"unknown field {', '.join(sorted(unknown))}; known are {', '.join(known)}"
            )
        base = POLICIES.get(str(data.get("name")), HTTPS_ONLY)
        return dataclasses.replace(base, **data)

    @classmethod
    def named(cls, name: str) -> Policy:
        """
        The built-in policy called *name*.

        Raises:
            InvalidPolicy: there is none of that name.
        """
        try:
            return POLICIES[name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(POLICIES))
            raise InvalidPolicy(f"there is no policy {name!r}; built in are {known}") from None

    def to_dict(self) -> dict[str, Any]:
        """
        Plain data, fit for JSON, that `from_dict` reads.
        """
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """
    What is known of a request at the moment it is judged.

    Attributes:
        host: the name or address the connection goes to.
        method: the HTTP method; `CONNECT` when a tunnel is asked for; `DNS`
            for a look-up that went around the proxy.
        scheme: `https`, `http` or `dns`.
        port: the port the connection goes to.
        encrypted: whether the request came to the proxy inside TLS.
        names: other names the request gives for the same host, each with
            the place it was found: `("SNI", "example.org")`.
        websocket: it asks for, or was answered by, a switch of protocols.
        payload: what the bytes were recognised as.
        addresses: what the host resolved to, once that is known.
    """

    host: str
    method: str = "GET"
    scheme: str = "https"
    port: int = 443
    encrypted: bool = True
    names: tuple[tuple[str, str], ...] = ()
    websocket: bool = False
    payload: Payload = "http"
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """
    The judgement of one request.

    Attributes:
        verdict: `allowed` or `blocked`.
        reason: why it is blocked, `None` if it is allowed.
        explanation: what was wrong and what to do, in one or two sentences.
    """

    verdict: Verdict
    reason: Reason | None = None
    explanation: str = ""

    @property
    def allowed(self) -> bool:
        """
        Whether the request may go on.
        """
        return self.verdict == "allowed"


def decide(facts: RequestFacts, policy: Policy) -> Decision:
    """
    Judge one request.

    Args:
        facts: what is known of the request.
        policy: what the workspace may reach.

    Returns:
        The first rule that refuses it, or `allowed`.
    """
    for rule in _RULES:
        if refusal := rule(facts, policy):
            return Decision("blocked", *refusal)
    return Decision("allowed")


def normalise_host(host: str) -> str:
    """
    The one spelling of a host that names are compared in.

    Lower case, IDNA, no trailing dot, no brackets around an IPv6 address.

    Raises:
        ValueError: it is no host name and no address.
    """
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            raise ValueError(f"{host!r} is not a host name") from None
    if len(text) > 1024:  # IDNA takes quadratic time
        raise ValueError(f"a name of {len(text)} characters is not a host name")
    text = text.removesuffix(".")
    try:
        text = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"{host!r} is not a host name") from None
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError(f"{host!r} is not a host name")
    return text


def host_matches(pattern: str, host: str) -> bool:
    """
    Whether *host* is *pattern*, below `*.pattern`, or *pattern* is `*`.
    """
    try:
        name = normalise_host(host)
    except ValueError:
        return False
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return name.endswith(pattern[1:].lower()) and len(name) > len(pattern) - 1
    try:
        return name == normalise_host(pattern)
    except ValueError:
        return False


def literal_address(host: str) -> Address | None:
    """
    The address that *host* spells, in any spelling a resolver accepts
    (`127.1`, `0x7f000001`, `017700000001`, `[::1]`); `None` for a name.
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


def is_private(address: str | Address, policy: Policy) -> bool:
    """
    Whether *policy* refuses connections to *address*.

    An IPv6 address that carries an IPv4 address is judged by both.

    Raises:
        ValueError: it is no address.
    """
    whole = ipaddress.ip_address(address)
    allowed = _networks(policy.private)
    refused = (*_PRIVATE, *_networks(policy.refuse))
    return any(
        _within(each, refused) and not _within(each, allowed) for each in (whole, *_embedded(whole))
    )


def _embedded(address: Address) -> list[Address]:
    """
    The IPv4 addresses that an IPv6 address leads to.
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


_Refusal = tuple[Reason, str] | None


def _dns(facts: RequestFacts, _: Policy) -> _Refusal:
    if facts.scheme != "dns":
        return None
    return (
        "direct-dns",
        f"The name {facts.host} was looked up in the workspace itself, where outside names do "
        "not resolve. Something there ignores HTTPS_PROXY; let it use the proxy, which resolves "
        "names.",
    )


def _offline(facts: RequestFacts, policy: Policy) -> _Refusal:
    if not policy.offline:
        return None
    return (
        "offline",
        f"The policy {policy.name!r} allows no network traffic at all, and {facts.host} was asked "
        "for. Do it in the setup script, or choose another policy.",
    )


def _payload(facts: RequestFacts, _: Policy) -> _Refusal:
    match facts.payload:
        case "http":
            return None
        case "not-tls":
            what = "The tunnel carried bytes that are not TLS (for example SSH, or plain HTTP)"
        case "not-http":
            what = "The TLS connection carried something other than HTTP/1.1 or HTTP/2"
        case "malformed":
            what = "The request was not well-formed HTTP"
    if not facts.encrypted and facts.payload == "malformed":
        return "plain-http", f"{what}, and not encrypted. Only HTTPS may pass the proxy."
    return "not-tls", f"{what}, to {facts.host}:{facts.port}. Only HTTPS may pass the proxy."


def _websocket(facts: RequestFacts, policy: Policy) -> _Refusal:
    if not facts.websocket or policy.websocket == "allow":
        return None
    return (
        "websocket",
        f"WebSocket connections (here to {facts.host}) are not allowed. Use plain HTTPS requests, "
        "or a policy with websocket: allow.",
    )


def _encryption(facts: RequestFacts, policy: Policy) -> _Refusal:
    if facts.encrypted or facts.method == "CONNECT":
        return None
    if facts.scheme == "https":
        return (
            "not-tls",
            f"A request for https://{facts.host} was sent to the proxy in clear text. Open a "
            "tunnel with CONNECT and speak TLS inside it.",
        )
    if policy.http == "allow":
        return None
    return (
        "plain-http",
        f"Plain HTTP is not allowed. Use https://{facts.host} instead, or a policy with "
        "http: allow.",
    )


def _names(facts: RequestFacts, _: Policy) -> _Refusal:
    try:
        host = normalise_host(facts.host)
    except ValueError as error:
        return "name-mismatch", f"{error}. Check the address that was asked for."
    for place, name in facts.names:
        try:
            agrees = normalise_host(name) == host
        except ValueError:
            agrees = False
        if not agrees:
            return (
                "name-mismatch",
                f"The connection goes to {host}, but its {place} says {name!r}. All names of a "
                "request must agree; ask the proxy for the name that is meant.",
            )
    return None


def _port(facts: RequestFacts, policy: Policy) -> _Refusal:
    if not policy.ports or facts.port in policy.ports:
        return None
    if facts.scheme == "http" and policy.http == "allow" and facts.port == 80:
        return None
    ports = ", ".join(map(str, policy.ports))
    return (
        "port-not-allowed",
        f"Port {facts.port} of {facts.host} is not allowed; allowed are {ports}. Use one of "
        "these, or name the port in the policy.",
    )


def _host(facts: RequestFacts, policy: Policy) -> _Refusal:
    if any(host_matches(pattern, facts.host) for pattern in policy.deny):
        how = "is denied by"
    elif policy.allow and not any(host_matches(each, facts.host) for each in policy.allow):
        how = "is not among the hosts allowed by"
    else:
        return None
    return (
        "host-not-allowed",
        f"The host {facts.host} {how} the policy {policy.name!r}. Allow it there, or do without "
        "it.",
    )


def _private(facts: RequestFacts, policy: Policy) -> _Refusal:
    literal = literal_address(facts.host)
    candidates = [literal] if literal else facts.addresses
    refused = [str(each) for each in candidates if is_private(each, policy)]
    # A name with a public address too may go on: only that one is used.
    if not refused or len(refused) < len(candidates):
        return None
    leads = "" if facts.host in refused else f"leads to {', '.join(refused)}, "
    return (
        "private-address",
        f"{facts.host} {leads or 'is '}a private or reserved address. If it is meant to be "
        "reached, list its network under private: in the policy.",
    )


def _method(facts: RequestFacts, policy: Policy) -> _Refusal:
    if facts.method == "CONNECT" or not policy.methods or facts.method in policy.methods:
        return None
    return (
        "method-not-allowed",
        f"The method {facts.method} is not allowed (host {facts.host}); allowed are "
        f"{', '.join(policy.methods)}.",
    )


_RULES = (
    _dns,
    _offline,
    _payload,
    _websocket,
    _encryption,
    _names,
    _port,
    _host,
    _private,
    _method,
)


def _parse_port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"{value!r} is not a port number")
    return value


def _parse_host(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a host")
    if value == "*":
        return value
    wild, name = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    try:
        return wild + normalise_host(name)
    except ValueError:
        raise ValueError(f"{value!r} is neither a host nor *.domain") from None


def _parse_method(value: object) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value.upper()):
        raise ValueError(f"{value!r} is not an HTTP method")
    return value.upper()


def _parse_network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(str(value), strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8") from None


_PARSERS = {
    "ports": _parse_port,
    "allow": _parse_host,
    "deny": _parse_host,
    "methods": _parse_method,
    "private": _parse_network,
    "refuse": _parse_network,
}

HTTPS_ONLY = Policy()
"""Any host, over HTTPS on port 443 only. The default."""

OFFLINE = Policy(name="offline", offline=True)
"""Nothing."""

POLICIES: Mapping[str, Policy] = {each.name: each for each in (HTTPS_ONLY, OFFLINE)}
"""The built-in policies by name."""

VERDICTS: tuple[str, ...] = get_args(Verdict)
"""Every verdict there is."""

REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason there is."""
