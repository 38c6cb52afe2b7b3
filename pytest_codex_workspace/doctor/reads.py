"""What `codex-workspace check` finds by reading the commit, as checks of the doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..checks.finding import READ, Finding
from ..checks.rules.read import read_repository
from ..checks.silence import silenced
from ..checks.summary import count_levels
from ..options.config import Config
from ..text.phrases import counted
from .result import Result, error, ok, some, warning

__all__ = ["SHOWN", "count_findings", "findings", "result_of"]

_OWN = frozenset({"git-uncommitted"})
"""What the doctor has a check of its own for."""

_STOPS = frozenset({"script-missing", "script-syntax"})
"""Errors because of which no workspace starts. Others show when something runs in it."""

SHOWN = tuple(one.id for one in READ if one.id not in _OWN)
"""The ids that are shown."""


def findings(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """
    Return what is found in the repository of *config*.

    Raises:
        ProjectionError: it cannot be read.
    """
    found = read_repository(config.repo or Path(), config.rev, environ, config.for_checks)
    return [one for one in silenced(found, config.silence) if one.id not in _OWN]


def count_findings(found: Sequence[Finding]) -> Result:
    """
    Count the findings.
    """
    if not found:
        return ok("nothing that does not work in Codex")
    errors = count_levels(found)["errors"]
    which = f", {errors} of them {'an error' if errors == 1 else 'errors'} there" if errors else ""
    return ok(
        f"{counted(len(found), 'finding')}; `codex-workspace check` shows each with its page{which}"
    )


def result_of(check: str, found: Sequence[Finding]) -> Result | None:
    """
    Return the result for the findings of one id; `None` if there is none.
    """
    mine = [one for one in found if one.id == check]
    if not mine:
        return None
    first = mine[0]
    places = [one.where for one in mine if one.where]
    text = first.what + (f": {some(places)}" if places else "")
    if first.silenced:
        return ok(f"silenced ({first.silenced}): {text}")
    if first.level == "note":
        return ok(f"{text}. {first.remedy}")
    if first.level == "error" and check in _STOPS:
        return error(text, first.remedy)
    return warning(text, first.remedy)
