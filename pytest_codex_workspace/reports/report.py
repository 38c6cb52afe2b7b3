"""Write the report of a run: a page, an HTTP archive, data, and logs."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..network.problems import is_problem, policy_entries, problems_of
from ..network.rules.request import Request
from ..text.phrases import counted
from ..text.printable import printable
from .har import har_of
from .records import TestRecord, WorkspaceRecord, append_part, read_parts, setups_once

__all__ = ["FILES", "keep_workspace", "write_report"]

FILES = ("index.html", "network.har", "report.json")
"""The files of a report, besides `logs/` and `parts/`."""

_LOGS = "logs"
_SCHEMA = 1
_LOG_LIMIT = 32 << 20


def keep_workspace(directory: Path, record: WorkspaceRecord, log: Path | None = None) -> None:
    """
    Add a workspace that has ended, and a copy of its log.

    Args:
        directory: the directory of the report.
        record: what is known of the workspace.
        log: file with the output of its scripts.

    Raises:
        OSError: the report cannot be written.
    """
    if log is not None:
        target = directory / _LOGS / log.name
        target.parent.mkdir(parents=True, exist_ok=True)
        # A log may have been pruned, and several workspaces have the same.
        with suppress(FileNotFoundError):
            if not target.exists() and log.stat().st_size <= _LOG_LIMIT:
                shutil.copyfile(log, target)
            record = replace(record, log=log.name if target.exists() else "")
    append_part(directory, record)


def write_report(directory: Path) -> Path:
    """
    Write the files of the report from what has been added by all processes.

    Args:
        directory: the directory of the report.

    Returns:
        The page.

    Raises:
        OSError: the report cannot be written.
        ValueError: what was added is damaged.
    """
    workspaces, tests = read_parts(directory)
    ours = version("pytest-codex-workspace")
    _write(directory / "network.har", json.dumps(har_of(workspaces, ours)))
    data = {
        "schema": _SCHEMA,
        "version": ours,
        "workspaces": [one.to_dict() for one in workspaces],
        "tests": [asdict(one) for one in tests],
    }
    _write(directory / "report.json", json.dumps(data, default=str))
    page = directory / "index.html"
    _write(page, _page(workspaces, tests))
    return page


def _write(path: Path, text: str) -> None:
    """
    Write *text* to the file *path*, in place of the old file only once it is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)


def _page(workspaces: Sequence[WorkspaceRecord], tests: Sequence[TestRecord]) -> str:
    import jinja2

    outcomes = {one.test: one for one in tests}
    setups = [each for _, new in setups_once(workspaces) for each in new]
    every = [*setups, *(each for one in workspaces for each in one.requests)]
    problems = problems_of(every)
    shown = [
        _row(request, one.test, _rule([request])) for one in workspaces for request in one.requests
    ] + [_row(request, "setup-script.sh", _rule([request])) for request in setups]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(
        files(__package__).joinpath("report.html").read_text("utf-8")
    )
    return template.render(
        subtitle=_subtitle(workspaces),
        facts=[
            *Counter(one.outcome for one in tests).most_common(),
            ("workspaces", len(workspaces)),
            ("requests", len(every)),
            ("blocked or failed", sum(one.count for one in problems)),
        ],
        hosts=_hosts(every),
        policy="\n".join(
            line
            for place, fields in policy_entries(problems)
            for line in (f"{place}:", *(f"  {each}" for each in fields))
        ),
        data={
            "workspaces": [_lane(one, outcomes.get(one.test)) for one in workspaces],
            "requests": sorted(shown, key=lambda each: each["time"]),
        },
    )


def _subtitle(workspaces: Sequence[WorkspaceRecord]) -> str:
    if not workspaces:
        return "No workspace was used."
    when = datetime.fromtimestamp(workspaces[0].began, UTC).strftime("%Y-%m-%d %H:%M UTC")
    places = sorted({f"{one.repository} at {one.head[:12]}" for one in workspaces})
    images = ", ".join(sorted({one.image for one in workspaces}))
    more = f" and {counted(len(places) - 3, 'more')}" if len(places) > 3 else ""
    return printable(f"{when}: {', '.join(places[:3])}{more}, image {images}")


def _hosts(requests: Sequence[Request]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for each in requests:
        row = rows.setdefault(each.host, {"name": each.host, "setup": 0, "tests": 0, "wrong": 0})
        row["tests" if each.phase == "test" else "setup"] += 1
        row["wrong"] += is_problem(each)
    return sorted(rows.values(), key=lambda row: (-row["wrong"], -row["setup"] - row["tests"]))


def _lane(one: WorkspaceRecord, test: TestRecord | None) -> dict[str, Any]:
    names = ("test", "worker", "repository", "head", "cache", "key", "began", "ended", "log")
    values = {name: getattr(one, name) for name in names}
    return values | {
        "outcome": test.outcome if test else "",
        "message": printable(test.message) if test else "",
        "lost": one.lost,
        "omitted": one.omitted,
        "commands": list(one.commands),
        "requests": len(one.requests),
    }


def _row(request: Request, test: str, rule: str) -> dict[str, Any]:
    names = ("time", "phase", "method", "url", "host", "status", "size", "duration", "verdict")
    values = {name: getattr(request, name) for name in (*names, "reason", "explanation", "process")}
    return values | {"test": test, "rule": rule}


def _rule(requests: Sequence[Request]) -> str:
    return "\n".join(line for _, lines in policy_entries(problems_of(requests)) for line in lines)
