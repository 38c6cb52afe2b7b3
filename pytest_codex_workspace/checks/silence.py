"""Silencing findings by id, with a reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from ..text.phrases import did_you_mean
from .finding import ADDED_ID, CHECKS, Finding

__all__ = ["problem_of_silence", "silenced", "unknown_silences"]

_LONGEST = 500


def problem_of_silence(check: str, reason: str) -> str:
    """
    Return what is wrong with silencing *check* for a *reason*; empty if nothing is.
    """
    # Where the distribution of a check is not installed, its id is no mistake.
    if check not in CHECKS and not re.fullmatch(ADDED_ID, check):
        whole = check.partition(":")[0]
        if whole != check and (whole in CHECKS or re.fullmatch(ADDED_ID, whole)):
            return f"{check!r} is no id: {whole} is silenced as a whole, not at single places"
        return (
            f"there is no check {check!r}{did_you_mean(check, CHECKS)}; docs/checks.md lists them"
        )
    if not reason.strip():
        return f"{check} is silenced without a reason: write one, which is shown with the finding"
    if len(reason) > _LONGEST:
        return f"the reason of {check} is longer than {_LONGEST} characters"
    return ""


def unknown_silences(reasons: Mapping[str, str], installed: Collection[str]) -> Iterator[str]:
    """
    Yield what to say of each id that silences nothing here, though checks with its prefix are
    installed: it may be misspelt.

    Args:
        reasons: by the ids of checks.
        installed: ids of the checks of other distributions.
    """
    prefixes = {one.partition(".")[0] for one in installed}
    for check in reasons:
        if check in CHECKS or check in installed or check.partition(".")[0] not in prefixes:
            continue
        yield (
            f"{check} is silenced, and no check that is installed has this id"
            f"{did_you_mean(check, installed)}"
        )


def silenced(findings: Iterable[Finding], reasons: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield *findings*, those of the checks in *reasons* with the reason for which they do not count.
    """
    for one in findings:
        reason = reasons.get(one.id, "")
        yield replace(one, silenced=" ".join(reason.split())) if reason else one
