"""Reading JSON and TOML, and the lines in them."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.checks.documents import (
    json_line,
    json_of,
    line_with,
    subtable,
    toml_of,
    without_comment,
)


@pytest.mark.parametrize("text", ["", "[", "]", "[[", "a = ", "\0", "[" * 100_000])
def test_what_is_no_document_is_empty(text):
    """
    A repository writes what it wants.
    """
    assert {} == toml_of(text)
    assert {} == json_of(text)


def test_lines_and_comments():
    """
    White space in front of a match is not the line that is meant.
    """
    assert 3 == line_with("a\n\n  b\n", r"^\s*b")
    assert line_with("a", "b") is None
    assert "a" == without_comment("a # b")
    assert "a#b" == without_comment("a#b")
    assert "" == without_comment("# b")


def test_lines_of_json():
    """
    A key is looked for below those before it.
    """
    text = '{"test": 1,\n"scripts": {\n"test": "x"}}'

    assert 3 == json_line(text, "scripts", "test")
    assert 2 == json_line(text, "scripts", "missing")


def test_a_table_that_is_none_is_empty():
    """
    At each depth.
    """
    data = {"a": {"b": {"c": 1}, "d": [1]}}

    assert {"c": 1} == subtable(data, "a", "b")
    assert {} == subtable(data, "a", "b", "c")
    assert {} == subtable(data, "a", "d", "e")
    assert {} == subtable(data, "x")
