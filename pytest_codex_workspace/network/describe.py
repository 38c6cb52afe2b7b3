"""Describe a policy in plain words."""

from __future__ import annotations

from .rules.policy import Policy

__all__ = ["describe_policy"]


def describe_policy(policy: Policy, besides: str = "") -> list[tuple[str, str]]:
    """
    Return pairs of a topic and what *policy* says about that topic.

    Args:
        policy: the policy to describe.
        besides: a description of hosts that are allowed besides the listed ones.

    Example:
        >>> describe_policy(Policy(name="offline", offline=True))
        [('network', 'nothing may be reached')]
    """
    if policy.offline:
        return [("network", "nothing may be reached")]
    hosts = [*policy.allow, *([besides] if besides else [])]
    lines = [("hosts", f"{', '.join(hosts)}; no others" if hosts else "any")]
    if policy.deny:
        lines.append(
            ("denied", f"{', '.join(policy.deny)}; this takes precedence over allowed hosts")
        )
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
    text = "private and reserved addresses are blocked"
    if policy.private:
        text += f", except {', '.join(policy.private)}"
    if policy.refuse:
        text += f"; so are {', '.join(policy.refuse)}"
    return text
