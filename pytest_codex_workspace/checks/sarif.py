"""Findings in the format that code hosts and editors read: SARIF 2.1.0."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..codex import CONFIG_FILE
from ..text.printable import printable
from .finding import CHECKS, Finding
from .summary import explained

__all__ = ["CheckedTarget", "sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """
    A repository with what was found in it.

    Attributes:
        path: the repository, as the user named it or its top.
        commit: full id of the commit; empty if it was not found.
        findings: what was found.
        failure: why the repository could not be checked; empty if it could.
    """

    path: Path
    commit: str
    findings: Sequence[Finding]
    failure: str = ""


def sarif(targets: Sequence[CheckedTarget], version: str) -> dict[str, Any]:
    """
    Return a SARIF log with a run for each repository.

    Args:
        targets: the repositories.
        version: version of this package.
    """
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [_run(one, version) for one in targets],
    }


def _run(target: CheckedTarget, version: str) -> dict[str, Any]:
    kinds = {one.id: one for one in target.findings}
    ids = sorted(kinds)
    notes = [{"level": "error", "message": {"text": printable(target.failure)}}]
    invocation: dict[str, Any] = {"executionSuccessful": not target.failure}
    if target.failure:
        invocation["toolExecutionNotifications"] = notes
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "codex-workspace",
                "version": version,
                "rules": [_rule(kinds[one]) for one in ids],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"uri": target.path.absolute().as_uri() + "/"}},
        "invocations": [invocation],
        "results": [_result(one, ids) for one in target.findings],
    }
    if target.commit:
        run["automationDetails"] = {"id": f"codex-workspace/{target.path.absolute().name}/"}
        run["properties"] = {"commit": target.commit}
    return run


def _rule(finding: Finding) -> dict[str, Any]:
    check = finding.id
    where = f"docs/checks.md of pytest-codex-workspace, section {check}"
    if check not in CHECKS:
        where = "a check that another distribution adds to codex-workspace"
    level = CHECKS[check].level if check in CHECKS else finding.level
    return {
        "id": check,
        "shortDescription": {"text": printable(finding.title)},
        "help": {"text": where},
        "defaultConfiguration": {"level": level},
    }


def _result(finding: Finding, ids: Sequence[str]) -> dict[str, Any]:
    text = printable(f"{finding.what}.\n{explained(finding)}")
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": ids.index(finding.id),
        "level": finding.level,
        "message": {"text": text},
        "partialFingerprints": {"finding/v1": _fingerprint(finding)},
        # Always there: without it, a viewer does not know whether others of the run are.
        "suppressions": [{"kind": "external", "justification": printable(finding.silenced)}]
        if finding.silenced
        else [],
    }
    # GitHub shows no result without a place. One about the whole repository has that of the file
    # in which it is silenced.
    where = CONFIG_FILE if finding.path is None else finding.path
    place: dict[str, Any] = {"artifactLocation": _location(where)}
    if finding.line:
        place["region"] = {"startLine": finding.line}
    result["locations"] = [{"physicalLocation": place}]
    return result


def _location(path: str) -> dict[str, str]:
    return {"uri": quote(path, errors="surrogateescape"), "uriBaseId": "SRCROOT"}


def _fingerprint(finding: Finding) -> str:
    """
    Return what stays the same when other lines of the file change.
    """
    text = f"{finding.id}\0{finding.path}\0{finding.what}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
