"""The JSON Schema of `.codex-workspace.yaml` for editors, made from the table of options."""

from __future__ import annotations

import json
from typing import Any

from ..checks.finding import ADDED_ID, CHECKS
from ..codex import RUNTIMES
from ..network.policy_reader import NAMES
from ..network.rules.policy import HTTPS_ONLY
from .repo_file import GROUPS, Shape, shape_of, top_level
from .services import services_schema
from .sources import FILE
from .table import Option

__all__ = ["schema", "schema_text"]

_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
_POLICY = {"$ref": "#/definitions/policy"}
_NUMBER = {"type": "number", "minimum": 0}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}

_SHAPES: dict[Shape, dict[str, Any]] = {
    "text": _TEXT,
    "number": {"anyOf": [_NUMBER, {"type": "string", "pattern": r"^\s*\d"}]},
    "truth": {"type": "boolean"},
    "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["all"]}]},
    "quantity": {"anyOf": [_NUMBER, {"type": "string", "pattern": r"^\s*\d"}]},
    "policy": {"anyOf": [_TEXT, _POLICY]},
    "variables": {
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
    "reasons": {
        "type": "object",
        "propertyNames": {"anyOf": [{"enum": sorted(CHECKS)}, {"pattern": f"^{ADDED_ID}$"}]},
        "additionalProperties": {"type": "string", "minLength": 1},
    },
    "texts": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    "names": {
        "type": "array",
        "items": {"type": "string", "pattern": _NAME},
        "uniqueItems": True,
    },
}


def schema() -> dict[str, Any]:
    """
    Return the schema as plain data.
    """
    properties: dict[str, Any] = {
        name: _option_schema(option) for name, option in top_level().items()
    }
    for name, group in GROUPS.items():
        below = _mapping({key: _option_schema(option) for key, option in group.below.items()})
        forms = [below]
        if group.main is not None:
            forms = [_option_schema(group.main), below]
        properties[name] = {"anyOf": forms} if len(forms) > 1 else below
    properties["runtimes"] = {
        "description": "versions of the language runtimes, as CODEX_ENV_*_VERSION",
        **_mapping(
            {name.lower(): {"type": ["string", "number"], "minLength": 1} for name in RUNTIMES}
        ),
    }
    properties["services"] = services_schema(_mapping)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": FILE,
        "description": "Settings of a repository for pytest --codex-repo and codex-workspace",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
        "definitions": {"policy": _policy()},
    }


def schema_text() -> str:
    """
    Return the text of the schema file in the distribution.
    """
    return json.dumps(schema(), indent=2) + "\n"


def _option_schema(option: Option) -> dict[str, Any]:
    text = option.help + (f" (default: {option.default})" if option.default else "")
    shape = shape_of(option)
    form = {"enum": list(option.choices)} if shape == "choice" else _SHAPES[shape]
    return {"description": text, **form}


def _mapping(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _policy() -> dict[str, Any]:
    block = {"enum": ["block", "allow"]}
    fields: dict[str, Any] = {
        name: {"type": "array", "items": {"type": "string"}}
        for name, value in HTTPS_ONLY.to_dict().items()
        if isinstance(value, list)
    }
    fields |= {
        "extends": {"enum": list(NAMES)},
        "name": {"type": "string", "pattern": "^[A-Za-z0-9]"},
        "offline": {"type": "boolean"},
        "http": block,
        "websocket": block,
        "ports": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    }
    return _mapping(fields)
