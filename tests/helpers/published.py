"""Checks against schemas that others have published: tests/schemas has copies."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import xmlschema

SCHEMAS = Path(__file__).parents[1] / "schemas"


def check_har(archive: Any) -> None:
    """
    Check that *archive* is an HTTP Archive 1.2.
    """
    _har().validate(archive)


def check_junit(text: str) -> int:
    """
    Check that *text* is JUnit XML as Jenkins reads it, and return the number of properties.

    pytest writes properties also below a `testcase`, where this schema does not expect them: these
    are checked by themselves.
    """
    root = ElementTree.fromstring(text)
    properties = root.findall(".//testcase/properties")
    for one in properties:
        _junit().elements["properties"].validate(copy.deepcopy(one))
    for case in root.iter("testcase"):
        for one in case.findall("properties"):
            case.remove(one)
    _junit().validate(root)
    return sum(len(one) for one in properties)


@cache
def _har() -> jsonschema.Draft6Validator:
    parts = {path.name: path.read_text() for path in (SCHEMAS / "har").glob("*.json")}
    # One file in place of several, which would have to be found by their addresses.
    found: dict[str, Any] = {}
    for name, text in parts.items():
        for other in parts:
            text = text.replace(f'"$ref": "{other}#"', f'"$ref": "#/definitions/{other}"')
        found[name] = json.loads(text)
        del found[name]["$id"]
    whole = {**found["har.json"], "definitions": found}
    jsonschema.Draft6Validator.check_schema(whole)
    return jsonschema.Draft6Validator(
        whole, format_checker=jsonschema.Draft6Validator.FORMAT_CHECKER
    )


@cache
def _junit() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))
