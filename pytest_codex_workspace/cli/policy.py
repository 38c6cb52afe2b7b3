"""`codex-workspace policy`: what network policies mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .common import add_command, add_group, show

if TYPE_CHECKING:
    from ..network.policy import Policy, RequestFacts
    from .common import Commands

__all__ = ["register"]

_CHECK = """\
Read a policy file, and print what it means. What is wrong in it is an error
with file and line, and the exit code is 2.

  codex-workspace policy check network.yaml
"""

_EXPLAIN = """\
Print whether a policy lets a request through, and why not. The exit code is 0
if it is allowed, 1 if it is blocked.

  codex-workspace policy explain https://example.com/ --policy=offline
  codex-workspace policy explain https://example.com/ --policy=network.yaml
"""

_POLICY = """\
See what network policies mean, without a workspace.

  codex-workspace policy check network.yaml
  codex-workspace policy explain https://example.com/ --policy=offline
"""

_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

_REGISTRIES = "what pip, npm and apt of the image are set to (only a run can ask them)"


class _Unknown:
    """
    The registries of an image that is not looked at, and whether they would matter.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> Mapping[str, Sequence[str]]:
        self.asked = True
        return {}


def register(commands: Commands) -> None:
    """
    Add the command and those below it.
    """
    below = add_group(commands, "policy", "what network policies mean", _POLICY)
    check = add_command(below, "check", "read a policy file", _CHECK, _check)
    check.add_argument("file", metavar="FILE", type=Path)
    explain = add_command(below, "explain", "what becomes of a request", _EXPLAIN, _explain)
    explain.add_argument("url", metavar="URL")
    explain.add_argument(
        "--policy",
        metavar="POLICY",
        default="https-only",
        help="name or path of a file (default: https-only)",
    )
    explain.add_argument("--method", metavar="METHOD", default="GET", help="(default: GET)")


def _check(arguments: argparse.Namespace) -> int:
    from ..network.wording import described

    policy, unknown = _read(arguments.file)
    show(f"policy {policy.name}")
    for what, words in described(policy, _REGISTRIES if unknown else ""):
        show(f"  {what:<10}  {words}")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from ..network.hosts import literal_address
    from ..network.policy import decide

    policy, unknown = _read(arguments.policy)
    facts = _facts(arguments.url, arguments.method)
    decision = decide(facts, policy)
    if decision.allowed:
        show(f"allowed by the policy {policy.name!r}")
        if literal_address(facts.host) is None:
            show(f"if {facts.host} does not lead to a private address, or to this machine")
        return 0
    show(f"blocked: {decision.reason}")
    show(decision.explanation)
    if unknown and decision.reason == "host-not-allowed":
        show(f"Besides the hosts it lists, this policy allows {_REGISTRIES}.")
    return 1


def _read(policy: str | Path) -> tuple[Policy, bool]:
    """
    The policy, and whether it allows registries that only an image knows.
    """
    from ..network.policy_file import PolicyReader

    unknown = _Unknown()
    return PolicyReader(unknown).read(policy), unknown.asked


def _facts(url: str, method: str) -> RequestFacts:
    from urllib.parse import urlsplit

    from ..errors import PolicyError
    from ..network.policy import RequestFacts

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PolicyError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in _PORTS or not host:
        raise PolicyError(
            f"{url!r}: give a URL that begins with https://, http://, wss:// or ws://, and a host. "
            "Nothing else passes the proxy, whatever the policy"
        )
    encrypted = parts.scheme in ("https", "wss")
    return RequestFacts(
        host,
        method=method.upper(),
        scheme="https" if encrypted else "http",
        port=port or _PORTS[parts.scheme],
        encrypted=encrypted,
        websocket=parts.scheme in ("ws", "wss"),
    )
