"""The page of a report: one file that loads nothing, and runs only its own script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from ..network.problems import NetworkProblem, is_problem, policy_entries, problems_of
from ..network.rules.request import Request
from ..text.phrases import cut_end, first_of
from ..text.printable import printable, without_colours
from .har import names_of_hars
from .records import TestRecord, WorkspaceRecord, setups_once

__all__ = ["render_page"]

_REQUESTS = 20_000
_PROBLEMS = 50
_OUTPUT = 16 << 20
_LONGEST = 20_000
_NO_TEST = -1
_PARTS = ("css", "js")
# Marks that change the direction of text could make a host or a command look like another one.
_HIDDEN = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def render_page(
    workspaces: Sequence[WorkspaceRecord], tests: Sequence[TestRecord], version: str
) -> str:
    """
    Return the page. Its size has a bound: of more than 20,000 requests it has the problems and the
    first of the others, and of more than 16 MiB of output those of the commands that failed.

    Args:
        workspaces: the workspaces, oldest first.
        tests: the outcomes of tests.
        version: the version of this package.
    """
    import jinja2

    page = _Page(workspaces, tests)
    css, js = (files(__package__).joinpath(f"report.{one}").read_text("utf-8") for one in _PARTS)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(
        files(__package__).joinpath("report.html").read_text("utf-8")
    )
    return template.render(
        css=css,
        css_hash=_hash(css),
        js=js,
        js_hash=_hash(js),
        version=version,
        **_shown(page.values()),
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


class _Page:
    """
    What the template shows.
    """

    def __init__(self, workspaces: Sequence[WorkspaceRecord], tests: Sequence[TestRecord]) -> None:
        self._workspaces = workspaces
        self._tests = tests
        self._attempts: dict[str, list[TestRecord]] = {}
        for one in tests:
            self._attempts.setdefault(one.test, []).append(one)
        # A command has workspaces without an outcome; a test that was killed as well.
        names = [*self._attempts, *(one.test for one in workspaces)]
        self._places = {name: at for at, name in enumerate(dict.fromkeys(names))}
        self._setups = [each for _, new in setups_once(workspaces) for each in new]
        self._own = [each for one in workspaces for each in one.requests]

    def values(self) -> dict[str, Any]:
        every = [*self._setups, *self._own]
        problems = problems_of(every)
        requests = self._requests()
        return {
            "headline": self._headline(),
            "subtitle": self._subtitle(),
            "facts": self._facts(every, problems),
            "problems": [_problem(one) for one in problems[:_PROBLEMS]],
            "more_problems": max(0, len(problems) - _PROBLEMS),
            "policy": _rule(problems[:_REQUESTS]),
            "left_out": max(0, len(every) - len(requests)),
            "data": {
                "workspaces": self._lanes(),
                "tests": self._rows(),
                "requests": requests,
                "hosts": _hosts(every),
            },
        }

    def _headline(self) -> str:
        names = sorted({one.repository for one in self._workspaces})
        return first_of(names, 2) or "nothing ran"

    def _subtitle(self) -> str:
        if not self._workspaces:
            return "No workspace was used."
        first = min(one.began for one in self._workspaces)
        when = datetime.fromtimestamp(first, UTC).strftime("%Y-%m-%d %H:%M UTC")
        commits = sorted({one.head[:12] for one in self._workspaces})
        images = ", ".join(sorted({one.image for one in self._workspaces}))
        took = max(one.ended for one in self._workspaces) - first
        return f"{when}, {took:.1f} s. Commit {first_of(commits, 3)}, image {images}."

    def _facts(
        self, every: Sequence[Request], problems: Sequence[NetworkProblem]
    ) -> list[tuple[str, str, str]]:
        outcomes = Counter(attempts[-1].outcome for attempts in self._attempts.values())
        kinds = {"passed": "good", "failed": "bad"}
        wrong: Counter[str] = Counter()
        for one in problems:
            wrong[one.outcome] += one.count
        texts = {"blocked": "blocked", "failed": "failed requests", "unfinished": "no response"}
        return [
            *((name, f"{count:,}", kinds.get(name, "")) for name, count in outcomes.most_common()),
            ("workspaces", f"{len(self._workspaces):,}", ""),
            ("requests", f"{len(every):,}", ""),
            *((text, f"{wrong[name]:,}", "bad") for name, text in texts.items() if wrong[name]),
        ]

    def _outcome(self, one: WorkspaceRecord) -> str:
        attempts = self._attempts.get(one.test, ())
        # The attempt at whose end the workspace ended.
        mine = [each for each in attempts if each.began <= one.ended]
        if mine:
            return mine[-1].outcome
        return _outcome_of(one)

    def _lanes(self) -> list[dict[str, Any]]:
        left = _OUTPUT
        lanes = []
        about = ("worker", "repository", "head", "image", "container", "cache", "key", "log")
        names = (*about, "began", "ended", "setup_duration", "lost", "omitted")
        for one in self._workspaces:
            commands, used = _commands(one.commands, left)
            left -= used
            own: dict[str, Any] = {name: getattr(one, name) for name in names}
            own |= {"name": one.test or one.repository, "test": self._places[one.test]}
            lanes.append(own | {"outcome": self._outcome(one), "commands": commands})
        return lanes

    def _rows(self) -> list[dict[str, Any]]:
        archives = names_of_hars(self._workspaces)
        rows: list[dict[str, Any]] = [
            {"id": name or "workspace", "attempts": [], "workspaces": [], "outcome": ""}
            | {"har": archives.get(name, "")}
            | {"duration": 0.0, "cache": "", "commands": 0, "requests": 0, "problems": 0}
            for name in self._places
        ]
        for at, one in enumerate(self._workspaces):
            row = rows[self._places[one.test]]
            row["workspaces"].append(at)
            row["outcome"] = row["outcome"] or _outcome_of(one)
            row["duration"] += one.ended - one.began
            caches = [*filter(None, row["cache"].split(", ")), one.cache]
            row["cache"] = ", ".join(dict.fromkeys(caches))
            row["commands"] += one.omitted + len(one.commands)
            row["requests"] += len(one.requests)
            row["problems"] += sum(is_problem(each) for each in one.requests)
        for name, attempts in self._attempts.items():
            names = ("outcome", "began", "duration", "message")
            rows[self._places[name]] |= {
                "attempts": [{one: getattr(each, one) for one in names} for each in attempts],
                "outcome": attempts[-1].outcome,
                "duration": sum(each.duration for each in attempts),
            }
        return rows

    def _requests(self) -> list[dict[str, Any]]:
        found = [(each, _NO_TEST, _NO_TEST) for each in self._setups] + [
            (each, self._places[one.test], at)
            for at, one in enumerate(self._workspaces)
            for each in one.requests
        ]
        if len(found) > _REQUESTS:
            found.sort(key=lambda each: (not is_problem(each[0]), each[0].time))
        found = sorted(found[:_REQUESTS], key=lambda each: each[0].time)
        return [_row(request, test, workspace) for request, test, workspace in found]


def _outcome_of(one: WorkspaceRecord) -> str:
    """
    Return how a workspace ended, where no test says so.
    """
    if not one.lost:
        return ""
    # Without a container it did not come up.
    return "lost" if one.container else "failed"


def _commands(commands: Iterable[Mapping[str, Any]], left: int) -> tuple[list[Any], int]:
    """
    Return the commands with their output, which may have *left* characters, and how many it has.
    Beyond, only commands that failed have some.
    """
    used = 0
    found = []
    for each in commands:
        one = dict(each)
        size = sum(len(one.get(name) or "") for name in ("stdout", "stderr"))
        failed = one.get("state") != "exited" or one.get("exit_code") != 0
        limit = left if not failed else left + _OUTPUT
        if used + size > limit:
            one |= {"stdout": "", "stderr": "", "cut": True}
        else:
            used += size
        found.append(one)
    return found, used


def _row(request: Request, test: int, workspace: int) -> dict[str, Any]:
    names = ("time", "phase", "method", "url", "host", "status", "size", "duration", "verdict")
    values = {name: getattr(request, name) for name in (*names, "reason", "explanation")}
    problems = problems_of([request])
    return values | {
        "process": request.process,
        "kind": problems[0].outcome if problems else request.verdict,
        "problem": bool(problems),
        "test": test,
        "workspace": workspace,
        "rule": _rule(problems),
    }


def _problem(problem: NetworkProblem) -> dict[str, Any]:
    names = ("phase", "method", "url", "host", "verdict", "reason", "explanation")
    values = {name: getattr(problem.first, name) for name in names}
    more = {"outcome": problem.outcome, "count": problem.count}
    return values | more | {"process": problem.first.process}


def _rule(problems: Sequence[NetworkProblem]) -> str:
    """
    Return the lines of `.codex-workspace.yaml` that would allow what was blocked.
    """
    lines: list[str] = []
    for place, fields in policy_entries(problems):
        group, below = place.split(": ")
        lines += [] if lines else [f"{group}:"]
        lines += [f"  {below}:", *(f"    {each}" for each in fields)]
    return "\n".join(lines)


def _hosts(requests: Iterable[Request]) -> list[tuple[str, int, int, int]]:
    """
    Return each host with the number of requests in setup, in tests, and of problems.
    """
    setup, tests, wrong = Counter[str](), Counter[str](), Counter[str]()
    for each in requests:
        (tests if each.phase == "test" else setup)[each.host] += 1
        wrong[each.host] += is_problem(each)
    rows = [(name, setup[name], tests[name], wrong[name]) for name in wrong]
    return sorted(rows, key=lambda row: (-row[3], -row[1] - row[2], row[0]))[:_REQUESTS]


def _shown(value: Any) -> Any:
    """
    Return *value* with texts that hide nothing from the reader and do nothing to the page.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    return value


def _text(text: str) -> str:
    short = cut_end(text, _LONGEST)
    if short.isascii() and short.isprintable():
        return short
    plain = without_colours(printable(short))
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)
