"""The events of `--json`, checked against the schema that programs get."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft7Validator

__all__ = ["read_events", "schema"]


@cache
def schema() -> dict[str, Any]:
    """
    Return the schema in the package.
    """
    text = files("pytest_codex_workspace").joinpath("events.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def _validator() -> Draft7Validator:
    Draft7Validator.check_schema(schema())
    return Draft7Validator(schema())


def read_events(lines: Iterable[str]) -> list[dict[str, Any]]:
    """
    Return the events in *lines*. Each line is a valid one, or this fails.
    """
    events = [json.loads(line) for line in lines]
    for one in events:
        wrong = [error.message for error in _validator().iter_errors(one)]
        assert not wrong, f"{one}\n{wrong}"
    return events
