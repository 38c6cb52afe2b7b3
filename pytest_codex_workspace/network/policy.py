"""
The network policy: one pure function that judges one request.

`decide` knows nothing of mitmproxy, pytest or containers; the proxy's addons
gather `RequestFacts` and carry the `Decision` out. This module, `fields` and `hosts`
are copied into the proxy image, so they import the standard library only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .fields import PARSERS, InvalidPolicy, check_list, check_names
from .hosts import any_matches, is_private, literal_address, normalise_host

__all__ = [
    "HTTPS_ONLY",
    "OFFLINE",
    "OPEN",
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

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}", re.ASCII)


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
        for field, parse in PARSERS.items():
            values = getattr(self, field)
            check_list(field, values)
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
        check_names(data, _fields())
        base = POLICIES.get(str(data.get("name")), HTTPS_ONLY)
        return dataclasses.replace(base, **data)

    def but(self, **changes: Any) -> Policy:
        """
        This policy with further fields.

        Args:
            changes: fields by name. `allow`, `deny`, `private` and `refuse`
                add to the policy's own, the others replace them. Where any
                host is allowed, `allow` means these and no others; where the
                policy is offline, it opens these.

        Raises:
            InvalidPolicy: an unknown field, or a value that means nothing.
        """
        check_names(changes, _fields())
        merged = dict(changes)
        for field in _ADDED:
            if field in changes:
                check_list(field, changes[field])
                own = getattr(self, field)
                merged[field] = (*own, *(one for one in changes[field] if one not in own))
        if changes.get("allow"):
            merged.setdefault("offline", False)
        return dataclasses.replace(self, **merged)

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
    if any_matches(policy.deny, facts.host):
        how = "is denied by"
    elif policy.allow and not any_matches(policy.allow, facts.host):
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
    refused = [str(each) for each in candidates if is_private(each, policy.private, policy.refuse)]
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


def _fields() -> list[str]:
    return [field.name for field in dataclasses.fields(Policy)]


_ADDED = ("allow", "deny", "private", "refuse")
HTTPS_ONLY = Policy()
"""Any host, over HTTPS on port 443 only. The default."""

OFFLINE = Policy(name="offline", offline=True)
"""Nothing."""

OPEN = Policy(name="open", http="allow", websocket="allow", ports=())
"""Any host, port and method, WebSocket and plain HTTP too; private addresses stay refused."""

POLICIES: Mapping[str, Policy] = {each.name: each for each in (HTTPS_ONLY, OFFLINE, OPEN)}
"""The built-in policies by name that need nothing but themselves."""

VERDICTS: tuple[str, ...] = get_args(Verdict)
"""Every verdict there is."""

REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason there is."""
