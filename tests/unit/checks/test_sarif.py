"""SARIF, against the structure that its standard requires."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from pytest_codex_workspace.checks.finding import CHECKS, Finding
from pytest_codex_workspace.checks.sarif import CheckedTarget, sarif

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"minLength": 1}}}
LEVELS = {"enum": ["none", "note", "warning", "error"]}
SCHEMA = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "shortDescription": TEXT,
                                                "help": TEXT,
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "additionalProperties": False,
                                                    "properties": {"level": LEVELS},
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "originalUriBaseIds": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "properties": {"uri": {"type": "string", "pattern": "/$"}},
                        },
                    },
                    "automationDetails": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {"id": {"type": "string"}},
                    },
                    "properties": {"type": "object"},
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "additionalProperties": False,
                            "properties": {
                                "executionSuccessful": {"type": "boolean"},
                                "toolExecutionNotifications": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["message"],
                                        "properties": {"message": TEXT, "level": LEVELS},
                                    },
                                },
                            },
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": LEVELS,
                                "message": TEXT,
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                                "suppressions": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["kind"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "kind": {"enum": ["inSource", "external"]},
                                            "justification": {"type": "string"},
                                        },
                                    },
                                },
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "required": ["uri"],
                                                        "properties": {
                                                            "uri": {
                                                                "type": "string",
                                                                "pattern": r"^[\w%./~-]+$",
                                                            },
                                                            "uriBaseId": {"type": "string"},
                                                        },
                                                    },
                                                    "region": {
                                                        "type": "object",
                                                        "properties": {
                                                            "startLine": {
                                                                "type": "integer",
                                                                "minimum": 1,
                                                            }
                                                        },
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The part of the standard that is used, without properties that it does not know."""


def finding(path="a", line=1, silenced="", check="docker"):
    return Finding(check, CHECKS[check].level, "what", "codex.", "remedy.", path, line, silenced)


def checked(*targets):
    log = json.loads(json.dumps(sarif(targets, "1.0")))
    jsonschema.validate(log, SCHEMA)
    return log["runs"]


def test_results_and_rules():
    """
    Each result refers to the rule of its id; places are relative and quoted.
    """
    findings = [finding("d/ü b.sh", 3), finding(None, None, check="git-tags"), finding("x", None)]

    (run,) = checked(CheckedTarget(Path("/work/shop"), "1" * 40, findings))

    rules = run["tool"]["driver"]["rules"]
    assert ["docker", "git-tags"] == [one["id"] for one in rules]
    for one in run["results"]:
        assert one["ruleId"] == rules[one["ruleIndex"]]["id"]
    assert "file:///work/shop/" == run["originalUriBaseIds"]["SRCROOT"]["uri"]
    assert (
        "d/%C3%BC%20b.sh"
        == run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    )
    # GitHub shows no result without a place.
    assert (
        ".codex-workspace.yaml"
        == (run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
    )
    assert "region" not in run["results"][2]["locations"][0]["physicalLocation"]


def test_silenced_findings_are_suppressions():
    """
    With their reason; the others say that they are not suppressed.
    """
    (run,) = checked(CheckedTarget(Path("/a"), "1", [finding(silenced="not run"), finding("b")]))

    assert [[{"kind": "external", "justification": "not run"}], []] == [
        one["suppressions"] for one in run["results"]
    ]


def test_a_repository_that_was_not_checked():
    """
    It has a run of its own that was not successful.
    """
    good, bad = checked(
        CheckedTarget(Path("/a"), "1", []), CheckedTarget(Path("/b"), "", (), "no repository")
    )

    assert [True, False] == [one["invocations"][0]["executionSuccessful"] for one in (good, bad)]
    assert "no repository" in json.dumps(bad)


@pytest.mark.parametrize("path", ["a\nb\x1b[31m", "\udcff", "a#b?c:d"])
def test_any_name_of_a_file(path):
    """
    It is quoted; control characters do not reach the text.
    """
    one = finding(path)
    (run,) = checked(CheckedTarget(Path("/a"), "1", [one]))

    assert "\x1b" not in json.dumps(run)


def test_fingerprints():
    """
    A line that moves keeps its fingerprint; another file has another.
    """
    (run,) = checked(
        CheckedTarget(Path("/a"), "1", [finding(line=1), finding(line=2), finding("b")])
    )

    first, second, third = (one["partialFingerprints"]["finding/v1"] for one in run["results"])
    assert first == second != third
