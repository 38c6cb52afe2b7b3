"""What went wrong on a workspace's network, grouped for people to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..text.phrases import counted, cut_end
from ..text.printable import printable
from .rules.allowing import policy_for
from .rules.process import shorten_processes
from .rules.request import Request

__all__ = [
    "NetworkProblem",
    "Outcome",
    "asked_by",
    "count_problems",
    "describe_problems",
    "is_problem",
    "list_problems",
    "policy_entries",
    "problems_of",
    "setup_warning",
    "yaml_value",
]

Outcome = Literal["blocked", "failed", "unfinished"]
"""
What happened to a request, the most important first. `unfinished`: it was allowed, but its client
left before a response.
"""

_Likeness = tuple[Outcome, str, str, int, str]
"""Outcome, phase, host, port, and why."""

_SHOWN = 10
_URL_LIMIT = 200
_PROCESS_LIMIT = 240
_VALUES = 100
_LONG = 160
"""Characters of an explanation that is not repeated for each host."""

_ORDER: tuple[Outcome, ...] = get_args(Outcome)
_PLAIN = re.compile(
    r"(?:[a-z0-9-]+\.)*[a-z0-9][a-z0-9-]*\.[a-z]{2,}|allow|GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS",
    re.ASCII,
)
"""What YAML reads as text without quotes; a host may be called `no`, `1.5` or `2026-01-01`."""

_POLICY = {"setup": "network: setup", "resume": "network: setup", "test": "network: tests"}


@dataclass(frozen=True, slots=True)
class NetworkProblem:
    """
    Requests that failed alike.

    Attributes:
        first: the first of them.
        count: how many they are.
        outcome: what happened to them.
        policy: policy fields that would allow them, such as
            `{"allow": ["example.org"]}`; empty if no field does.
        processes: who made them, as far as known, each once.
    """

    first: Request
    count: int
    outcome: Outcome
    policy: Mapping[str, object]
    processes: Sequence[str] = ()

    def to_dict(self) -> dict[str, object]:
        """
        Return plain data: the facts of the first request, and what it has in common with the
        others.
        """
        names = ("phase", "method", "url", "host", "port", "verdict", "reason", "explanation")
        facts = {name: getattr(self.first, name) for name in names}
        return facts | {
            "outcome": self.outcome,
            "count": self.count,
            "policy": dict(self.policy),
            "processes": list(self.processes),
        }

    def asked_by(self) -> str:
        """
        Return a line that says who made the requests; empty if nobody is known.
        """
        return asked_by(self.processes)

    def __str__(self) -> str:
        """
        Return one line: `blocked: [setup] GET http://example.org/ (plain-http), 3 times`.
        """
        request = self.first
        url = cut_end(request.url, _URL_LIMIT)
        reason = f" ({request.reason})" if request.reason else ""
        times = f", {counted(self.count, 'time')}" if self.count > 1 else ""
        line = f"{self.outcome}: [{request.phase}] {request.method} {url}{reason}{times}"
        return printable(line)


def problems_of(requests: Iterable[Request]) -> list[NetworkProblem]:
    """
    Group the requests that were blocked, failed, or got no response.

    Requests are alike if phase, host, port, reason and explanation agree.

    Returns:
        One problem for each group: the blocked first, and among those the ones
        that happened last first, because they probably ended the script.
    """
    groups: dict[_Likeness, list[Request]] = {}
    for request in requests:
        if outcome := _outcome(request):
            why = request.reason or request.explanation
            key = (outcome, request.phase, request.host, request.port, why)
            groups.setdefault(key, []).append(request)

    def rank(group: tuple[_Likeness, list[Request]]) -> tuple[int, float]:
        (outcome, *_), alike = group
        return _ORDER.index(outcome), -max(each.time for each in alike)

    return [
        NetworkProblem(alike[0], len(alike), outcome, policy_for(alike[0]), _processes(alike))
        for (outcome, *_), alike in sorted(groups.items(), key=rank)
    ]


def describe_problems(problems: Sequence[NetworkProblem], *, shown: int = _SHOWN) -> list[str]:
    """
    Return lines for people: each problem with what to do, and the entries that
    would allow what was blocked, ready to paste into a configuration.

    Args:
        problems: the result of `problems_of`.
        shown: number of problems to describe; the others are counted.
    """
    lines: list[str] = []
    said: set[str] = set()
    for problem in problems[:shown]:
        lines.append(str(problem))
        text = printable(problem.first.explanation)
        # A browser has many hosts of its own, and a long explanation would hide the others.
        alike = text.replace(problem.first.host, "")[:_LONG]
        if len(text) > _LONG and alike in said:
            lines.append("    as above")
        elif text:
            lines.append(f"    {text}")
        said.add(alike)
        if asked := problem.asked_by():
            lines.append(f"    {asked}")
    if len(problems) > shown:
        lines.append(f"... and {counted(len(problems) - shown, 'more problem')} of this kind")
    for place, fields in policy_entries(problems):
        lines.append(f"to allow what was blocked, add to `{place}:` in .codex-workspace.yaml:")
        lines += [f"    {field}" for field in fields]
    return lines


def count_problems(requests: Sequence[Request], problems: Sequence[NetworkProblem]) -> str:
    """
    Return how many requests there were, and how many went wrong: `3 requests, 1 blocked or failed`.

    Args:
        requests: the requests.
        problems: the result of `problems_of` for them.
    """
    wrong = sum(problem.count for problem in problems)
    return f"{counted(len(requests), 'request')}, {wrong or 'none'} blocked or failed"


def list_problems(problems: Sequence[NetworkProblem], *, shown: int) -> list[str]:
    """
    Return a line for each problem, without what to do.

    Args:
        problems: the result of `problems_of`.
        shown: number of problems to list; the others are counted.
    """
    lines = [str(problem) for problem in problems[:shown]]
    more = len(problems) - shown
    return [*lines, f"... {more} more"] if more > 0 else lines


def policy_entries(problems: Sequence[NetworkProblem]) -> list[tuple[str, list[str]]]:
    """
    Return the entries that would allow what was blocked.

    Returns:
        Pairs of the place in the configuration (`network: setup` or `network: tests`)
        and lines of YAML. Of a very long list, a line has the beginning.
    """
    return [
        (place, [_field(name, value) for name, value in fields.items()])
        for place, fields in _entries(problems).items()
    ]


def is_problem(request: Request) -> bool:
    """
    Return whether *request* was blocked, failed, or got no response.
    """
    return _outcome(request) is not None


def setup_warning(*, repository: str = "", cached: bool = False) -> str:
    """
    Return the title of the problems of a setup that succeeded.

    Args:
        repository: the repository, where there are several.
        cached: whether the setup ran earlier.
    """
    whose = f" of {repository}" if repository else ""
    when = ", when its result was cached" if cached else ""
    return f"setup-script.sh{whose} succeeded{when}, but this went wrong on the network:"


def asked_by(processes: Sequence[str]) -> str:
    """
    Return a line that says which processes made requests: the first, and how many others. It is
    empty if none is known.
    """
    if not processes:
        return ""
    others = len(processes) - 1
    more = f" (and {counted(others, 'other process', 'other processes')})" if others else ""
    return printable(f"asked by: {shorten_processes(processes[0], _PROCESS_LIMIT)}{more}")


def _processes(requests: Sequence[Request]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.process for one in requests if one.process))


def _outcome(request: Request) -> Outcome | None:
    if request.verdict == "blocked":
        return "blocked"
    if request.verdict == "failed":
        return "failed"
    if request.verdict == "allowed" and request.status is None and request.explanation:
        return "unfinished"
    return None


def _entries(problems: Sequence[NetworkProblem]) -> dict[str, dict[str, object]]:
    """
    Merge the fields of all problems, separately for scripts and tests.
    """
    # A workspace may have asked for 100,000 hosts: values that are known are looked up.
    places: dict[str, dict[str, object]] = {}
    for problem in problems:
        if not problem.policy:
            continue
        fields = places.setdefault(_POLICY.get(problem.first.phase, "network: tests"), {})
        for name, value in problem.policy.items():
            if isinstance(value, list):
                known = fields.setdefault(name, {})
                assert isinstance(known, dict)  # noqa: S101 -- a field has one type
                known.update(dict.fromkeys(value))
            else:
                fields[name] = value
    return {
        place: {n: list(v) if isinstance(v, dict) else v for n, v in fields.items()}
        for place, fields in places.items()
    }


def _field(name: str, value: object) -> str:
    if isinstance(value, list) and len(value) > _VALUES:
        return f"{name}: {yaml_value(value[:_VALUES])}  # and {len(value) - _VALUES} more"
    return f"{name}: {yaml_value(value)}"


def yaml_value(value: object) -> str:
    """
    Return a value of a policy as YAML on one line, quoted where it would not be text otherwise.
    """
    if isinstance(value, list):
        return f"[{', '.join(map(yaml_value, value))}]"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
