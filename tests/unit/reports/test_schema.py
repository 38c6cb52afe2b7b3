"""Tests of the schema of report.json: the check that reads a report agrees with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import pytest_codex_workspace
from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.errors import ReportError
from pytest_codex_workspace.reports.records import TestRecord
from pytest_codex_workspace.reports.schema import (
    SCHEMA,
    check_report,
    report_schema,
    report_schema_text,
)

from .test_records import workspace
from .test_report import COMMAND

SHIPPED = Path(pytest_codex_workspace.__file__).parent / "report.schema.json"
VALIDATOR = jsonschema.Draft7Validator(report_schema())


def report(**changes: Any) -> dict[str, Any]:
    """
    Return the data of a report with one of everything.
    """
    found = {
        "schema": SCHEMA,
        "version": "1.0",
        "workspaces": [workspace(commands=(COMMAND,)).to_dict()],
        "tests": [asdict(TestRecord("test_a.py::test_it", "", "failed", 9.0, 1.0, "boom"))],
    }
    return json.loads(json.dumps({**found, **changes}))


def test_the_schema_file_is_made_from_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    """
    `codex-workspace report --schema` prints it.
    """
    assert 0 == main(["report", "--schema"])
    assert SHIPPED.read_text() == report_schema_text() == capsys.readouterr().out
    jsonschema.Draft7Validator.check_schema(report_schema())


def test_the_schema_fits_what_is_written() -> None:
    """
    Fields that version 1 of the format did not have at its beginning are never required.
    """
    VALIDATOR.validate(report())
    required = {
        "workspace": {"test", "worker", "repository", "head", "image", "container", "cache"}
        | {"key", "began", "ended"},
        "test": {"test", "worker", "outcome", "began", "duration"},
        "command": {"text", "cwd", "user", "began"},
        "request": {"id", "time", "phase", "method", "scheme", "host", "port", "path", "url"}
        | {"status", "size", "duration", "verdict"},
    }
    definitions = report_schema()["definitions"]
    assert required == {name: set(one["required"]) for name, one in definitions.items()}


PLACES = [("workspaces", 0), ("workspaces", 0, "requests", 0), ("workspaces", 0, "commands", 0)]
VALUES: list[Any] = [None, "", "x", -1, 0, 1.5, 1e300, True, [], [None], {}, ["x"], [1]]


@pytest.mark.parametrize("place", [*PLACES, ("tests", 0), ()], ids=str)
def test_the_check_agrees_with_the_schema(place: tuple[Any, ...]) -> None:
    """
    For each field, without it and with values of every type.
    """
    found = report()
    target: Any = found
    for step in place:
        target = target[step]
    for name in (one for one in list(target) if (place, one) != ((), "schema")):
        right = target.pop(name)
        _compare(found)
        for value in VALUES:
            target[name] = value
            _compare(found)
        target[name] = right
    _compare(found)


def _compare(found: dict[str, Any]) -> None:
    try:
        check_report("report.json", json.dumps(found).encode())
        accepted = True
    except ReportError:
        accepted = False
    assert accepted == VALIDATOR.is_valid(found), found
