"""`codex-workspace policy`: check, explain and suggest network policies."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options import POLICIES, add_command, add_group, add_json, complete_with
from .printing import finish, show, table

if TYPE_CHECKING:
    from ..network.rules.policy import Policy, RequestFacts
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "check, explain and suggest network policies"

_CHECK = """\
Check a policy file, and print the resulting policy.

A mistake in the file is reported with its line, and the exit code is 125.

Examples:
  codex-workspace policy check network.yaml
"""

_EXPLAIN = """\
Show how a policy treats a request.

The policy allows the request, with exit code 0, or blocks it, with exit code 1;
then the reason is printed.

Examples:
  codex-workspace policy explain https://example.com/ --policy=offline
  codex-workspace policy explain https://example.com/ --policy=network.yaml
"""

_SUGGEST = """\
Suggest the smallest policy under which nothing of an earlier run is blocked.

LOG is the directory of a report, a file of it (report.json or network.har), or a
file with the events of `run --json`. By default, events are read from standard
input. Several logs make one policy. It is printed as a policy file for
--network; comments say what each entry is for, and what no policy allows.

Hosts are listed one by one; ports, methods, plain HTTP, WebSocket and private
networks are allowed only as they were used. --base extends a policy that allows
more, and lists only what it lacks.

Examples:
  codex-workspace policy suggest report >network.yaml
  codex-workspace policy suggest report --phase=tests --base=codex-package-managers
  codex-workspace run --json | codex-workspace policy suggest
"""

_POLICY = """\
Check, explain and suggest network policies.

No workspace is started.

Examples:
  codex-workspace policy check network.yaml
  codex-workspace policy explain https://example.com/ --policy=offline
  codex-workspace policy suggest report
"""

_PHASES = {"all": ("setup", "resume", "test"), "setup": ("setup", "resume"), "tests": ("test",)}
"""What --phase selects; the configuration has a policy for scripts and one for tests."""

_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_REGISTRIES = "the registries of pip, npm and apt in the image (known only during a run)"


class _Unknown:
    """
    The registries of an unknown image, and whether the policy depends on them.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> Mapping[str, Sequence[str]]:
        self.asked = True
        return {}


def register(commands: Commands) -> None:
    """
    Add the command and its subcommands.
    """
    below = add_group(commands, "policy", SUMMARY, _POLICY)
    check = add_command(
        below, "check", "check a policy file and print the policy", _CHECK, _check, "FILE"
    )
    file = check.add_argument("file", metavar="FILE", type=Path, help="the policy file")
    complete_with(file, paths="files")
    explain = add_command(
        below, "explain", "show how a policy treats a request", _EXPLAIN, _explain, "URL"
    )
    explain.add_argument("url", metavar="URL", help="the URL of the request")
    policy = explain.add_argument(
        "--policy",
        metavar="POLICY",
        default="https-only",
        help="name of a policy, or path of a policy file (default: https-only)",
    )
    complete_with(policy, POLICIES, paths="files")
    explain.add_argument(
        "--method", metavar="METHOD", default="GET", help="method of the request (default: GET)"
    )
    suggest = add_command(
        below,
        "suggest",
        "suggest a policy for what a run has requested",
        _SUGGEST,
        _suggest,
        "[LOG ...]",
    )
    logs = suggest.add_argument(
        "logs",
        nargs="*",
        metavar="LOG",
        help="directory of a report, or a file with requests; - is standard input (default: -)",
    )
    complete_with(logs, paths="files")
    suggest.add_argument(
        "--base",
        metavar="NAME",
        choices=POLICIES,
        help="extend this policy, and list only what it lacks (default: offline)",
    )
    suggest.add_argument(
        "--phase",
        choices=tuple(_PHASES),
        default="all",
        help="only what scripts (setup) or tests have requested (default: all)",
    )
    add_json(suggest)


def _check(arguments: argparse.Namespace) -> int:
    from ..network.describe import describe_policy

    policy, unknown = _read(arguments.file)
    show(f"policy {policy.name}")
    for line in table(describe_policy(policy, _REGISTRIES if unknown else ""), indent=2):
        show(line)
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from ..network.rules.hosts import literal_address
    from ..network.rules.policy import decide

    policy, unknown = _read(arguments.policy)
    facts = _facts(arguments.url, arguments.method)
    decision = decide(facts, policy)
    if decision.allowed:
        show(f"allowed by the policy {policy.name!r}")
        if literal_address(facts.host) is None:
            show(f"unless {facts.host} resolves to a private address or to this machine")
        return 0
    show(f"blocked: {decision.reason}")
    show(decision.explanation)
    if unknown and decision.reason == "host-not-allowed":
        show(f"The policy also allows {_REGISTRIES}.")
    return 1


def _suggest(arguments: argparse.Namespace) -> int:
    from ..network.rules.text import plain
    from ..reports.logged import read_log
    from ..reports.suggestion import SMALLEST, suggest

    names = arguments.logs or ["-"]
    if names == ["-"] and sys.stdin.isatty():
        raise _nothing_given()
    logs = [read_log(None if each == "-" else Path(each), sys.stdin.buffer) for each in names]
    phases = _PHASES[arguments.phase]
    logged = [one for log in logs for one in log.requests if one.request.phase in phases]
    is_whole = all(log.is_whole for log in logs)
    base = arguments.base or (SMALLEST if is_whole else "https-only")
    policy, unknown = _read(base)
    suggestion = suggest(logged, base, policy)
    if not is_whole:
        suggestion = suggestion.noting(
            "The log does not have every request that was allowed; a report has."
        )
    if unknown:
        suggestion = suggestion.noting(f"{base} also allows {_REGISTRIES}.")
    text = suggestion.yaml(_title(suggestion.count, [plain(each) for each in names]))
    if arguments.json:
        return finish(arguments, 0, policy=suggestion.fields, yaml=text, **suggestion.to_dict())
    for line in text.splitlines():
        show(line)
    return 0


def _nothing_given() -> Exception:
    from ..errors import ReportError

    return ReportError(
        "there is no log: standard input is a terminal",
        remedy="Give the directory of a report.",
    )


def _title(count: int, names: Sequence[str]) -> str:
    from ..text.phrases import counted

    where = ", ".join("standard input" if each == "-" else each for each in names)
    if not count:
        return f"Nothing was requested, so nothing has to be allowed: {where}"
    return f"Nothing is blocked of {counted(count, 'request')} in {where}, except as noted here."


def _read(policy: str | Path) -> tuple[Policy, bool]:
    """
    Return the policy, and whether it allows the registries of an image.
    """
    from ..network.policy_reader import PolicyReader

    unknown = _Unknown()
    return PolicyReader(unknown).read(policy), unknown.asked


def _facts(url: str, method: str) -> RequestFacts:
    from urllib.parse import urlsplit

    from ..errors import PolicyError
    from ..network.rules.policy import RequestFacts

    if not _METHOD.fullmatch(method):
        raise PolicyError(f"{method!r} is not a method", remedy="Give one such as GET or POST.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PolicyError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in _PORTS or not host:
        raise PolicyError(
            f"{url!r} is not a URL with a host that begins with https://, http://, wss:// or ws://",
            remedy="Give such a URL; the proxy blocks everything else under any policy.",
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
