"""Writes limits and results into docs/engines.md, between its marks, and keeps what is not run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Protocol
from xml.etree import ElementTree

__all__ = ["Limit", "Outcome", "Result", "outcomes_of", "unexplained", "updated", "with_limits"]

SUITES = ("contract", "isolation", "network", "handle", "cache", "smoke", "compose")
"""The columns, in order."""

BEGIN, END = "<!-- written by tools/engines -->", "<!-- end -->"
LIMITS_BEGIN = "<!-- limits, written by tools/engines -->"

_HEAD = ("engine", "version", *SUITES, "run")
_NOT_RUN = "–"


@dataclass(frozen=True)
class Outcome:
    """
    What became of a test.

    Attributes:
        suite: one of `SUITES`.
        test: its name.
        state: `passed`, `failed` or `skipped`.
        reason: why it was skipped.
    """

    suite: str
    test: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Limit:
    """
    A reason why tests do not pass on some engines.

    Attributes:
        rows: a pattern for the names of engines.
        tests: patterns for the names of tests.
        because: the sentence.
    """

    rows: str
    tests: Sequence[str]
    because: str

    def explains(self, row: str, outcome: Outcome) -> bool:
        """
        Return whether it is why that test does not pass on that engine.
        """
        return fnmatch(row, self.rows) and any(fnmatch(outcome.test, one) for one in self.tests)


@dataclass
class Result:
    """
    What a run has found out about an engine.

    Attributes:
        version: what the engine says of itself.
        run: the date and the commit.
        outcomes: of its tests.
        broken: why it could not be tried at all.
    """

    version: str
    run: str
    outcomes: list[Outcome] = field(default_factory=list)
    broken: str = ""


def outcomes_of(report: str, suite_of: Mapping[str, str]) -> list[Outcome]:
    """
    Return the outcomes in pytest's JUnit XML. A test with several cases is one outcome for each.

    Args:
        report: the text of the file.
        suite_of: suites by the names of test modules; a package stands for its modules.
    """
    found = []
    for case in ElementTree.fromstring(report).iter("testcase"):
        module = case.get("classname", "")
        suite = next((suite for name, suite in suite_of.items() if name in module), None)
        if suite is None:
            continue
        test = re.sub(r"\s+", " ", case.get("name", ""))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            found.append(Outcome(suite, test, "failed"))
        elif skipped is not None:
            found.append(Outcome(suite, test, "skipped", _plain(skipped.get("message", ""))))
        else:
            found.append(Outcome(suite, test, "passed"))
    return found


def unexplained(row: str, result: Result, limits: Sequence[Limit]) -> list[Outcome]:
    """
    Return the tests that failed without a known reason.
    """
    return [
        one
        for one in result.outcomes
        if one.state == "failed" and not any(limit.explains(row, one) for limit in limits)
    ]


def updated(
    page: str, order: Sequence[str], results: Mapping[str, Result], limits: Sequence[Limit]
) -> str:
    """
    Return the page with the rows of *results*, and with its other rows as they were. A suite that
    was not run keeps what an earlier run has found, if the version is the same.

    Args:
        page: the page, with both marks.
        order: the names of all rows, in the order of the table.
        results: what was run.
        limits: known reasons.
    """
    before, rest = page.split(BEGIN, 1)
    old, after = rest.split(END, 1)
    kept = old.splitlines()
    rows, notes = [], []
    for name in order:
        old_row = next((line for line in kept if line.startswith(f"| `{name}` |")), "")
        old_notes = [line for line in kept if line.startswith(f"- `{name}`,")]
        if result := results.get(name):
            earlier = _earlier(old_row, result)
            rows.append(_row(name, result, earlier))
            notes.extend(line for line in old_notes if line.split(", ")[1] in earlier)
            notes.extend(_notes(name, result, limits))
        else:
            rows.extend([old_row] if old_row else [])
            notes.extend(old_notes)
    head = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
    listed = [*notes] or ["Everything passed."]
    return "\n".join([f"{before}{BEGIN}", *head, *rows, "", *listed, f"{END}{after}"])


class EngineLimit(Protocol):
    """
    What an engine cannot do, as doctor tells it.
    """

    @property
    def check(self) -> str:
        """
        The line of doctor.
        """

    @property
    def whose(self) -> str:
        """
        Which engines.
        """

    @property
    def sentence(self) -> str:
        """
        What follows for workspaces.
        """


def with_limits(page: str, limits: Iterable[EngineLimit]) -> str:
    """
    Return the page with a line for each limit of an engine.

    Args:
        page: the page, with the marks of limits.
        limits: those of doctor.
    """
    before, rest = page.split(LIMITS_BEGIN, 1)
    _, after = rest.split(END, 1)
    lines = [f"- **{one.whose}**: {one.sentence}. (`{one.check}`)" for one in limits]
    return "\n".join([f"{before}{LIMITS_BEGIN}", *lines, f"{END}{after}"])


def _earlier(row: str, result: Result) -> dict[str, tuple[str, str]]:
    """
    Return what a row has of suites that *result* does not have: for each the cell, and its run.
    """
    if not row or result.broken:
        return {}
    cells = dict(zip(_HEAD, (one.strip() for one in row.strip("|").split("|")), strict=True))
    if cells["version"] != result.version:
        return {}
    # `DATE, COMMIT` of all suites, or `DATE, COMMIT: SUITE, SUITE`, with a semicolon between runs.
    run_of = {}
    for one in cells["run"].split("; "):
        run, _, suites = one.partition(": ")
        run_of.update(dict.fromkeys(suites.split(", ") if suites else SUITES, run))
    ran = {one.suite for one in result.outcomes}
    return {
        suite: (cells[suite], run_of[suite])
        for suite in SUITES
        if suite not in ran and cells[suite] != _NOT_RUN
    }


def _row(name: str, result: Result, earlier: Mapping[str, tuple[str, str]]) -> str:
    cells, suites_of = [f"`{name}`", result.version], {result.run: list[str]()}
    for suite in SUITES:
        counts = Counter(one.state for one in result.outcomes if one.suite == suite)
        said = [f"{counts[state]} {state}" for state in ("passed", "failed", "skipped")]
        cell = ", ".join(one for one in said if not one.startswith("0 ")) or _NOT_RUN
        cell, run = earlier.get(suite, (cell, result.run))
        cells.append(cell)
        if cell != _NOT_RUN:
            suites_of.setdefault(run, []).append(suite)
    runs = [f"{run}: {', '.join(suites)}" for run, suites in suites_of.items()]
    cells.append(result.run if len(runs) == 1 else "; ".join(runs))
    return f"| {' | '.join(cells)} |"


def _notes(name: str, result: Result, limits: Sequence[Limit]) -> list[str]:
    """
    Return a line for each reason why something did not pass.
    """
    if result.broken:
        return [f"- `{name}`, everything: {_sentence(result.broken)}"]
    tests: dict[tuple[str, str], list[str]] = {}
    for one in result.outcomes:
        if one.state == "passed":
            continue
        known = next((limit.because for limit in limits if limit.explains(name, one)), "")
        if one.state == "skipped":
            known = known or one.reason
        said = f"{one.state}: {_sentence(known or 'not explained yet')}"
        tests.setdefault((one.suite, said), []).append(one.test)
    return [
        f"- `{name}`, {suite}, {len(which)} {said} {_listed(which)}"
        for (suite, said), which in tests.items()
    ]


def _listed(tests: Sequence[str]) -> str:
    names = dict.fromkeys(re.sub(r"\[.*", "", one) for one in tests)
    shown = ", ".join(f"`{one}`" for one in list(names)[:8])
    return f"({shown}{f' and {len(names) - 8} more' if len(names) > 8 else ''})"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!")) else f"{text}."


def _plain(text: str) -> str:
    """
    Return a text that does not break a line of the page.
    """
    return re.sub(r"\s+", " ", text).replace("|", "/").strip()
