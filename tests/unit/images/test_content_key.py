"""Tests of content keys. `tests/unit/setup/test_keys.py` has those of the keys of layers."""

from __future__ import annotations

from pytest_codex_workspace.images.content_key import FORMAT, differing, fingerprint, key_of


def test_a_key_depends_on_the_parts_and_not_on_their_order():
    """
    The encoding of names and values is unambiguous.
    """
    assert key_of({"a": 1, "b": "2"}) == key_of({"b": "2", "a": 1})
    assert key_of({"a": "bc"}) != key_of({"ab": "c"})
    assert key_of({"env": {"A": "1"}}) != key_of({"env": {"A": "2"}})
    assert 24 == len(key_of({}))


def test_a_fingerprint_shows_short_texts_and_digests_of_the_rest():
    """
    Values in mappings are never shown.
    """
    found = fingerprint({"name": "demo", "long": "x" * 65, "environment": {"A": "hush"}})

    assert {"format", "name", "long", "environment.A"} == set(found)
    assert (str(FORMAT), "demo") == (found["format"], found["name"])
    assert 12 == len(found["long"]) == len(found["environment.A"])
    assert "hush" not in str(found)


def test_a_difference_is_added_removed_or_changed():
    """
    Equal parts are left out.
    """
    assert {"b": "removed", "c": "changed", "d": "added"} == differing(
        {"a": "1", "b": "2", "c": "3"}, {"a": "1", "c": "4", "d": "5"}
    )
