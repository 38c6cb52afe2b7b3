"""The JSON Schema of `report.json`, made from the records, and the check of one that is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, get_args, get_type_hints

from ..errors import ReportError
from ..network.messages import LARGEST_NUMBER
from ..network.rules.request import Request
from ..workspace.command_log import CommandRecord, CommandState
from .records import TestRecord, WorkspaceRecord

__all__ = [
    "DAMAGED",
    "FOREIGN",
    "SCHEMA",
    "check_record",
    "check_report",
    "report_schema",
    "report_schema_text",
]

SCHEMA = 1
"""The version of the format. New fields do not change it."""

DAMAGED = "Make the report again, or take the file from where it was made."
"""The remedy for a report that cannot be read."""

FOREIGN = "Give the directory of `pytest --codex-report` or of a command."
"""The remedy for what is not a report."""

_TIME = {"type": "number", "minimum": 0, "maximum": LARGEST_NUMBER}
_BOUNDS = {"minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}
_BASE64 = {"type": ["string", "null"], "contentEncoding": "base64"}
_COMMANDS = {"type": "array", "items": {"$ref": "#/definitions/command"}}
_REQUESTS = {"type": "array", "items": {"$ref": "#/definitions/request"}}
_TYPES: Mapping[object, Any] = {
    str: {"type": "string"},
    int: {"type": "integer", **_BOUNDS},
    float: {"type": "number", **_BOUNDS},
    str | None: {"type": ["string", "null"]},
    int | None: {"type": ["integer", "null"], **_BOUNDS},
    float | None: {"type": ["number", "null"], **_BOUNDS},
    bytes | None: _BASE64,
    tuple[int, ...]: {"type": "array", "items": {"type": "integer", **_BOUNDS}},
    CommandState: {"enum": list(get_args(CommandState))},
    Sequence[Mapping[str, Any]]: _COMMANDS,
    Sequence[Request]: _REQUESTS,
}
_KNOWN: Mapping[str, Any] = {
    "began": _TIME,
    "ended": _TIME,
    "time": _TIME,
    "cache": {"enum": ["hit", "miss", "off", "none"]},
    "outcome": {"enum": ["passed", "failed", "skipped"]},
    "phase": {"enum": ["setup", "resume", "test"]},
    "verdict": {"enum": ["allowed", "blocked", "stubbed", "replayed", "failed"]},
}
"""Fields of which more is known than their type."""


def report_schema() -> dict[str, Any]:
    """
    Return the schema as plain data. Programs that write may add fields.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "report.json",
        "description": "The report of a run of pytest --codex-report or codex-workspace",
        "type": "object",
        "required": ["schema", "version", "workspaces", "tests"],
        "properties": {
            "schema": {"const": SCHEMA, "description": "the version of this format"},
            "version": {"type": "string", "description": "of pytest-codex-workspace"},
            "workspaces": {"type": "array", "items": {"$ref": "#/definitions/workspace"}},
            "tests": {"type": "array", "items": {"$ref": "#/definitions/test"}},
        },
        "definitions": {
            "workspace": _record(WorkspaceRecord),
            "test": _record(TestRecord),
            "command": _record(CommandRecord),
            "request": _record(Request),
        },
    }


_schema = cache(report_schema)


def report_schema_text() -> str:
    """
    Return the text of the schema file in the distribution.
    """
    return json.dumps(report_schema(), indent=2) + "\n"


def check_report(where: str, text: bytes) -> dict[str, Any]:
    """
    Return the report in *text*.

    Args:
        where: the file that has it, for errors.
        text: its content.

    Raises:
        ReportError: it is damaged, foreign, or of a newer version.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{where} is damaged: {error}", remedy=DAMAGED) from None
    if not isinstance(found, dict) or not isinstance(found.get("schema"), int):
        raise ReportError(
            f"{where} is not a report: it has no version of its format", remedy=FOREIGN
        )
    if found["schema"] != SCHEMA:
        raise ReportError(
            f"{where} has the format {found['schema']}, written by version "
            f"{found.get('version', 'unknown')!s:.50}; this version reads the format {SCHEMA}",
            remedy="Use the version of pytest-codex-workspace that wrote it.",
        )
    schema = _schema()
    if wrong := _check(found, schema, schema["definitions"], "the report"):
        raise ReportError(f"{where} is damaged: {wrong}", remedy=DAMAGED)
    return found


def check_record(kind: str, data: Mapping[str, Any]) -> None:
    """
    Check one record of a report.

    Args:
        kind: `workspace` or `test`.
        data: its fields.

    Raises:
        ValueError: it is something else.
    """
    definitions = _schema()["definitions"]
    if wrong := _check(data, definitions[kind], definitions, f"a {kind}"):
        raise ValueError(wrong)


def _record(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {
        "type": "object",
        "required": [each.name for each in fields(kind) if _is_required(each)],
        "properties": {
            each.name: _KNOWN.get(each.name) or _TYPES[hints[each.name]] for each in fields(kind)
        },
    }


def _is_required(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


_IS = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}


def _check(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], at: str) -> str:
    """
    Return what is wrong with *value*, as far as `report_schema` uses the language of schemas.
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} is {value!r:.50}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_IS[kind](value) for kind in kinds):
        return f"{at} is {value!r:.50} and not {' or '.join(kinds)}"
    if isinstance(value, int | float):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            return f"{at} is {value!r:.50}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"{at} has no {name}"
        below = (
            (name, value[name], one) for name, one in schema["properties"].items() if name in value
        )
        wrong = (_check(each, one, definitions, f"{at}: {name}") for name, each, one in below)
        return next(filter(None, wrong), "")
    if isinstance(value, list):
        wrong = (
            _check(each, schema["items"], definitions, f"{at}[{number}]")
            for number, each in enumerate(value)
        )
        return next(filter(None, wrong), "")
    return ""
