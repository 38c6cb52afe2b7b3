"""S18: `codex-workspace smoke` tests the whole chain for users."""

from __future__ import annotations

import json

import pytest

from ..helpers.events import read_events
from .runs import COMMAND, running


@pytest.mark.promise("S18")
def test_all_checks_pass(codex_engine, tmp_path):
    """
    S18: All checks pass on the example repository, the table shows them, and nothing is left
    behind but the report.
    """
    with running(
        *(*COMMAND, "smoke", "--image=slim", "--report=report"),
        f"--engine={codex_engine.url}",
        cwd=tmp_path,
    ) as run:
        assert run.end() == 0, run.output

    assert "all checks passed" in run.output
    assert "FAILED" not in run.output
    passed = {line.split()[0] for line in run.output.splitlines() if " ok " in line}
    assert {f"S{n}" for n in (1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 18)} == passed
    assert [one.name for one in tmp_path.iterdir()] == ["report"]
    found = json.loads((tmp_path / "report" / "report.json").read_text())["workspaces"]
    assert {one["test"] for one in found} == {"codex-workspace smoke"}
    assert "plain-http" in {each["reason"] for one in found for each in one["requests"]}


@pytest.mark.any_engine
@pytest.mark.promise("S18")
def test_failed_checks_are_reported(codex_engine, tmp_path):
    """
    S18: The exit code reports a failed check: a policy that allows plain HTTP breaks one promise.
    """
    smoke = (*COMMAND, "smoke", "--image=slim", f"--engine={codex_engine.url}", "--json")
    with running(*smoke, "--network=open", "--output=quiet", cwd=tmp_path) as run:
        assert run.end() == 1, run.output

    outcomes = read_events(run.output.splitlines())
    broken = [(one["promise"], one["text"]) for one in outcomes if not one["ok"]]
    assert ("S10", "plain HTTP is refused with 403 and a reason") in broken
    assert ("S2", "only committed files are in the workspace") not in broken
