"""Tests of what the workspaces of a run leave for the summary."""

from __future__ import annotations

from pytest_codex_workspace.plugin.summary import Tally


def test_the_tallies_of_workers_are_added():
    """
    Counts are summed, and what is known of one setup is there once.
    """
    ours, first, second = Tally(), Tally(), Tally()
    first.count("hit")
    first.kept.append("test_a is kept")
    first.setups["key"] = ["warning"]
    second.count("hit", 2)
    second.count("miss")
    second.setups["key"] = ["warning"]

    ours.add(first.to_dict())
    ours.add(second.to_dict())

    assert {"hit": 3, "miss": 1} == ours.counts
    assert ["test_a is kept"] == ours.kept
    assert {"key": ["warning"]} == ours.setups
