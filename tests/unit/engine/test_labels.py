"""Labels of the engines' objects."""

from __future__ import annotations

from pytest_codex_workspace.engine.labels import has_labels


def test_labels_match_by_name_and_value():
    """
    No value matches any.
    """
    assert has_labels({"a": "1"}, {"a": None})
    assert not has_labels({"a": "1"}, {"a": "2"})
    assert not has_labels({}, {"a": None})
    assert not has_labels({"a": "1"}, {"a": None, "b": None})
