"""
The network policy: a pure function that decides whether a request is allowed.

`decide` knows nothing about mitmproxy, pytest or containers: the proxy's addons
collect `RequestFacts` and enforce the `Decision`. This module, `fields` and
`hosts` are copied into the proxy image, so they import the standard library only.
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
    "CODEX_SETUP",
    "DENIED",
    "HTTPS_ONLY",
    "OFFLINE",
    "OPEN",
    "POLICIES",
    "REASONS",
    "SAFE_METHODS",
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
"""Outcome of a request."""

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
"""Reason why a request was blocked or failed."""

Payload = Literal["http", "not-tls", "not-http", "malformed"]
"""Protocol that was recognised in the bytes of a connection."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The hosts, ports and methods that a workspace may use.

    Attributes:
        name: name that every refusal shows.
        offline: refuse everything.
        http: `block` or `allow` requests that are not encrypted.
        websocket: `block` or `allow` WebSocket connections.
        ports: ports that may be connected to; empty means any. Where plain HTTP
            is allowed, it may use port 80 as well.
        allow: hosts that may be reached (`example.org`, `*.example.org`);
            empty means any.
        deny: hosts that may not be reached; takes precedence over `allow`.
        methods: methods that may be used; empty means any.
        private: private networks (CIDR) that may be reached; takes precedence
            over `refuse`.
        refuse: networks (CIDR) that may not be reached, besides the private
            ones.

    Raises:
        InvalidPolicy: a field has an invalid value.
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
            raise InvalidPolicy(
                f"name: {self.name!r} must be 1 to 64 letters, digits, spaces, '.', '_' or '-'"
            )
        if not isinstance(self.offline, bool):
            raise InvalidPolicy(f"offline: {self.offline!r} is not true or false")
        for field in ("http", "websocket"):
            if getattr(self, field) not in ("block", "allow"):
                raise InvalidPolicy(f"{field}: {getattr(self, field)!r} is not 'block' or 'allow'")
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
        Create a policy from plain data, the reverse of `to_dict`.

        Args:
            data: fields by name. Missing fields are taken from the built-in
                policy of the same name, or else from `https-only`.

        Raises:
            InvalidPolicy: a field is unknown or has an invalid value.
        """
        if not isinstance(data, Mapping):
            raise InvalidPolicy(f"a policy must be a mapping of fields, not {data!r}")
        check_names(data, _fields())
        base = POLICIES.get(str(data.get("name")), HTTPS_ONLY)
        return dataclasses.replace(base, **data)

    def but(self, **changes: Any) -> Policy:
        """
        Return a copy of this policy with *changes* applied.

        Args:
            changes: fields by name. `allow`, `deny`, `private` and `refuse`
                are added to this policy's own; other fields are replaced.
                If this policy allows any host, `allow` restricts it to the given
                hosts; if it is offline, `allow` opens the given hosts.

        Raises:
            InvalidPolicy: a field is unknown or has an invalid value.
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
        Return the built-in policy called *name*.

        Raises:
            InvalidPolicy: no built-in policy has that name.
        """
        try:
            return POLICIES[name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(POLICIES))
            raise InvalidPolicy(
                f"unknown policy {name!r}; the built-in policies are {known}"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data, suitable for JSON, that `from_dict` reads.
        """
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """
    Everything that is known about a request when it is judged.

    Attributes:
        host: name or address that the connection goes to.
        method: HTTP method; `CONNECT` for a tunnel; `DNS` for a look-up without
            the proxy.
        scheme: `https`, `http` or `dns`.
        port: port that the connection goes to.
        encrypted: whether the request reached the proxy inside TLS.
        names: other names that the request gives for the same host, each with
            the place it was found: `("SNI", "example.org")`.
        websocket: whether the request asks for a switch of protocols, or was
            answered with one.
        payload: protocol that was recognised in the bytes.
        addresses: addresses that the host resolved to, once they are known.
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
        reason: why the request is blocked; `None` if it is allowed.
        explanation: what was wrong and what to do, in one or two sentences.
    """

    verdict: Verdict
    reason: Reason | None = None
    explanation: str = ""

    @property
    def allowed(self) -> bool:
        """
        Whether the request may continue.
        """
        return self.verdict == "allowed"


def decide(facts: RequestFacts, policy: Policy) -> Decision:
    """
    Decide whether a request is allowed.

    Args:
        facts: what is known about the request.
        policy: the policy of the workspace.

    Returns:
        The refusal of the first rule that blocks the request, or `allowed`.
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
        f"The name {facts.host} was looked up inside the workspace, where outside names do not "
        "resolve. A program there ignores HTTPS_PROXY; configure it to use the proxy, which "
        "resolves names.",
    )


def _offline(facts: RequestFacts, policy: Policy) -> _Refusal:
    if not policy.offline:
        return None
    return (
        "offline",
        f"The policy {policy.name!r} allows no network traffic, but {facts.host} was requested. "
        "Download it in the setup script, or choose another policy.",
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
        return "plain-http", f"{what}, and not encrypted. The proxy passes HTTPS only."
    return "not-tls", f"{what}, to {facts.host}:{facts.port}. The proxy passes HTTPS only."


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
            "tunnel with CONNECT and use TLS inside it.",
        )
    if policy.http == "allow":
        return None
    return (
        "plain-http",
        f"Plain HTTP is not allowed. Use https://{facts.host} instead, if it answers there, or a "
        "policy with http: allow.",
    )


def _names(facts: RequestFacts, _: Policy) -> _Refusal:
    try:
        host = normalise_host(facts.host)
    except ValueError as error:
        return "name-mismatch", f"{error}. Check the requested address."
    for place, name in facts.names:
        try:
            agrees = normalise_host(name) == host
        except ValueError:
            agrees = False
        if not agrees:
            return (
                "name-mismatch",
                f"The connection goes to {host}, but its {place} is {name!r}. All names in a "
                "request must agree; request the intended host from the proxy.",
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
        f"Port {facts.port} of {facts.host} is not allowed; the allowed ports are {ports}. Use one "
        "of these, or add the port to the policy.",
    )


DENIED = "is denied by"
"""Words of the explanation for a host that the policy denies, so that allowing it has no effect."""


def _host(facts: RequestFacts, policy: Policy) -> _Refusal:
    if any_matches(policy.deny, facts.host):
        how = DENIED
    elif policy.allow and not any_matches(policy.allow, facts.host):
        how = "is not among the hosts allowed by"
    else:
        return None
    return (
        "host-not-allowed",
        f"The host {facts.host} {how} the policy {policy.name!r}. Allow the host in the policy, or "
        "avoid the request.",
    )


def _private(facts: RequestFacts, policy: Policy) -> _Refusal:
    literal = literal_address(facts.host)
    candidates = [literal] if literal else facts.addresses
    refused = [str(each) for each in candidates if is_private(each, policy.private, policy.refuse)]
    # A name that also has a public address may pass: the proxy uses only that address.
    if not refused or len(refused) < len(candidates):
        return None
    leads = "" if facts.host in refused else f"resolves to {', '.join(refused)}, "
    return (
        "private-address",
        f"{facts.host} {leads or 'is '}a private or reserved address. To allow it, list its "
        "network under private: in the policy.",
    )


def _method(facts: RequestFacts, policy: Policy) -> _Refusal:
    if facts.method == "CONNECT" or not policy.methods or facts.method in policy.methods:
        return None
    return (
        "method-not-allowed",
        f"The method {facts.method} is not allowed (host {facts.host}); the allowed methods are "
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
"""The default: any host, but only over HTTPS on port 443."""

OFFLINE = Policy(name="offline", offline=True)
"""No network traffic at all."""

OPEN = Policy(name="open", http="allow", websocket="allow", ports=())
"""Any host, port and method, plain HTTP and WebSocket included; private addresses stay refused."""

CODEX_SETUP = Policy(name="codex-setup", http="allow")
"""Any host over HTTPS and plain HTTP, which Codex's setup phase seems to allow."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""The methods to which Codex can restrict requests."""

POLICIES: Mapping[str, Policy] = {
    each.name: each for each in (HTTPS_ONLY, OFFLINE, OPEN, CODEX_SETUP)
}
"""The built-in policies that do not depend on an image's package registries, by name."""

VERDICTS: tuple[str, ...] = get_args(Verdict)
"""All verdicts."""

REASONS: tuple[str, ...] = get_args(Reason)
"""All reasons."""
