"""What a check has found, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..text.phrases import counted, first_of
from .finding import Finding

__all__ = ["count_levels", "explained", "finding_text", "runs_text", "summarize"]

_COLOURS = {"note": "36", "warning": "33", "error": "31;1", "silenced": "2"}
_SHOWN = 8
_BESIDE_HOSTS = ("http", "websocket", "ports", "private")
"""Fields of a policy without which its hosts alone would not admit all requests."""


def finding_text(finding: Finding, *, coloured: bool) -> Iterator[str]:
    """
    Yield the lines of a finding.

    Args:
        finding: the finding.
        coloured: show its level in a colour.
    """
    mark = "silenced" if finding.silenced else finding.level
    text = f"{mark:<8}"
    if coloured:
        text = f"\x1b[{_COLOURS[mark]}m{text}\x1b[0m"
    place = f"{finding.where}: " if finding.where else ""
    first, *rest = f"{place}{finding.what}".splitlines()
    yield f"{text} {finding.id}  {first}"
    yield from (f"         {line}" for line in rest)
    if finding.silenced:
        yield f"         silenced: {finding.silenced}"
        return
    for line in explained(finding).splitlines():
        yield f"         {line}"


def explained(finding: Finding) -> str:
    """
    Return what Codex would do, if the finding says it, and the remedy, a line each.
    """
    in_codex = f"In Codex: {finding.in_codex}\n" if finding.in_codex else ""
    return f"{in_codex}Remedy: {finding.remedy}"


def count_levels(findings: Iterable[Finding]) -> dict[str, int]:
    """
    Return how many findings are errors, warnings and notes, and how many are silenced.
    """
    counts = {"errors": 0, "warnings": 0, "notes": 0, "silenced": 0}
    for one in findings:
        counts["silenced" if one.silenced else f"{one.level}s"] += 1
    return counts


def summarize(counts: Mapping[str, int]) -> str:
    """
    Return one line about what `count_levels` has counted.
    """
    found = counts["errors"] + counts["warnings"] + counts["notes"]
    text = f"{counted(found, 'finding')}: {counted(counts['errors'], 'error')}, "
    text += f"{counted(counts['warnings'], 'warning')}, {counted(counts['notes'], 'note')}"
    return text + (f"; {counts['silenced']} silenced" if counts["silenced"] else "")


def runs_text(runs: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield the lines about what running a repository has shown, besides its findings.

    Args:
        runs: the fields of the event `runs`: docs/events.md.
    """
    took, limit, resumed = runs["setup_seconds"], runs["time_limit"], runs["resume_seconds"]
    if not runs["has_setup"]:
        yield "there is no setup script, so nothing was installed and nothing was resumed"
    if took is not None:
        yield (
            f"setup took {took:.1f} s, {took / limit:.0%} of the {limit:.0f} s "
            "that Codex seems to give it (not documented)"
        )
    if resumed is not None:
        yield f"resuming at a newer commit took {resumed:.1f} s"
    yield from _use("the scripts", runs["network"]["scripts"])
    tests = runs["tests"]
    if tests is not None:
        yield (
            f"`{tests['command']}` (from {tests['source']}) "
            f"{'passed' if tests['exit_code'] == 0 else 'failed'} in {tests['seconds']:.1f} s "
            f"under the policy {tests['policy'] or 'offline'!r}"
        )
        yield from _use("the tests", runs["network"]["tests"])


def _use(who: str, use: Mapping[str, Any]) -> Iterator[str]:
    if not use["requests"]:
        return
    hosts = use["hosts"]
    policy = use["smallest_policy"]
    allow = ", ".join(map(str, policy.get("allow", ())[:_SHOWN]))
    beside = [f"{name}: {policy[name]}" for name in _BESIDE_HOSTS if name in policy]
    yield f"{who} made {counted(use['requests'], 'request')}: {first_of(hosts, _SHOWN)}"
    if allow and len(hosts) <= _SHOWN:
        yield (
            f"  the smallest list of hosts that admits them is [{allow}]"
            + (f", with {', '.join(beside)}" if beside else "")
        )
    for name, outside in use["outside_presets"].items():
        if outside:
            yield f"  {name} would refuse {first_of(outside, _SHOWN)}"
        else:
            yield f"  {name} would admit all of them"
