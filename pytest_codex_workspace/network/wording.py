"""A policy in plain words."""

from __future__ import annotations

from .policy import Policy

__all__ = ["described"]


def described(policy: Policy, besides: str = "") -> list[tuple[str, str]]:
    """
    What *policy* means: for each thing it is about, its words.

    Args:
        policy: what is told.
        besides: words for hosts that it allows besides those it lists.

    Example:
        >>> described(Policy(name="offline", offline=True))
        [('network', 'nothing may be reached')]
    """
    if policy.offline:
        return [("network", "nothing may be reached")]
    hosts = [*policy.allow, *([besides] if besides else [])]
    lines = [("hosts", f"{', '.join(hosts)}; no others" if hosts else "any")]
    if policy.deny:
        lines.append(("denied", f"{', '.join(policy.deny)}; that wins over allowed hosts"))
    return [
        *lines,
        ("ports", _ports(policy)),
        ("methods", ", ".join(policy.methods) or "any"),
        ("plain HTTP", "allowed" if policy.http == "allow" else "blocked"),
        ("WebSocket", "allowed" if policy.websocket == "allow" else "blocked"),
        ("private", _private(policy)),
    ]


def _ports(policy: Policy) -> str:
    if not policy.ports:
        return "any"
    ports = ", ".join(map(str, policy.ports))
    if policy.http == "allow" and 80 not in policy.ports:
        ports += ", and 80 for plain HTTP"
    return ports


def _private(policy: Policy) -> str:
    words = "private and reserved addresses are blocked"
    if policy.private:
        words += f", except {', '.join(policy.private)}"
    if policy.refuse:
        words += f"; so are {', '.join(policy.refuse)}"
    return words
