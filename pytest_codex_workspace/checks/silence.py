"""Silencing findings by id, with a reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ..text.phrases import did_you_mean
from .finding import ADDED_ID, CHECKS, Finding

__all__ = ["problem_of_silence", "silenced"]

_LONGEST = 500


def problem_of_silence(check: str, reason: str) -> str:
    """
    Return what is wrong with silencing *check* for a *reason*; empty if nothing is.
    """
    # Where the distribution of a check is not installed, its id is no mistake.
    if check not in CHECKS and not re.fullmatch(ADDED_ID, check):
        return (
            f"there is no check {check!r}{did_you_mean(check, CHECKS)}; docs/checks.md lists them"
        )
    if not reason.strip():
        return f"{check} is silenced without a reason: write one, which is shown with the finding"
    if len(reason) > _LONGEST:
        return f"the reason of {check} is longer than {_LONGEST} characters"
    return ""


def silenced(findings: Iterable[Finding], reasons: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield *findings*, those of the checks in *reasons* with the reason for which they do not count.
    """
    for one in findings:
        reason = reasons.get(one.id, "")
        yield replace(one, silenced=" ".join(reason.split())) if reason else one
