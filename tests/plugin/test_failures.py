"""Tests of what is added to the report of a test; tests/integration/test_reports.py has more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_codex_workspace.plugin.attempt import attempt_of
from pytest_codex_workspace.plugin.failures import add_outcome
from pytest_codex_workspace.plugin.run import COLLECTOR


@pytest.mark.parametrize(
    ("failed", "attempt", "expected"),
    [
        (False, {}, [("passed", "")]),
        (False, {"skipped": True}, [("skipped", "")]),
        (True, {"failed": True}, [("failed", "E: why")]),
        # Its end is reported after its failure, which has been added.
        (False, {"failed": True}, []),
    ],
)
def test_each_test_has_one_outcome(pytester, failed, attempt, expected):
    """
    With a failure comes what it says, without what is added to it.
    """
    added = []
    item = pytester.getitem("def test_func(): pass")
    collector = SimpleNamespace(test=lambda *fields: added.append((fields[1], fields[4])))
    item.config.stash[COLLECTOR] = collector
    vars(attempt_of(item)).update(attempt, workspaces=[(None, "")])

    crash = SimpleNamespace(message="E: why\nmore")
    add_outcome(item, SimpleNamespace(failed=failed, longrepr=SimpleNamespace(reprcrash=crash)))

    assert expected == added
