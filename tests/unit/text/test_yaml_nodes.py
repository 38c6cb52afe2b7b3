"""Tests of reading hand-written YAML files."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text import yaml_nodes
from pytest_codex_workspace.text.yaml_nodes import (
    InvalidYaml,
    kind_of,
    line_of,
    plain_value,
    read_yaml,
)


@pytest.fixture
def read(tmp_path):
    """
    Return a function that reads a file with a given text.
    """
    path = tmp_path / "file.yaml"

    def read(text):
        path.write_text(text, encoding="utf-8")
        return read_yaml(path)

    read.path = path
    return read


@pytest.mark.parametrize("text", ["", "# a comment\n"])
def test_an_empty_file_has_no_document(read, text):
    """
    A comment is not a document.
    """
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("word", "text"),
        ("off", "text"),
        ("12:30", "text"),
        ("'12'", "text"),
        ("2026-11-25", "text"),
        ("12", "a number"),
        ("3.10", "a number"),
        ("0x1f", "a number"),
        ("1e3", "a number"),
        ("true", "a truth value"),
        ("~", "nothing"),
        ("{a: 1}", "a mapping"),
        ("[a]", "a list"),
        ("!x y", "tagged"),
    ],
)
def test_a_node_has_the_kind_of_yaml_1_2(read, text, kind):
    """
    In YAML 1.1, `off` would be false, and 12:30 a number of seconds.
    """
    assert kind == kind_of(read(text))


def test_a_node_knows_its_line(read):
    """
    Lines are counted from 1.
    """
    node = read("\na: 1\nb:\n  c: 2\n")

    assert [2, 3] == [line_of(key) for key, _ in node.value]


def test_a_node_becomes_plain_data(read):
    """
    The data has lists, mappings and scalars.
    """
    assert {"a": [1, "x"], "b": None} == plain_value(read("a: [1, x]\nb:"), read.path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "line 2: a is defined twice (first on line 1)"),
        ("a: {b: 1,\n  b: 2}", "line 2: b is defined twice (first on line 1)"),
        ("a: &x 1\nb: [*x, *x]\nc: &y [1]\nd: *y", "anchors and aliases are not supported"),
        ("? [a]\n: b", "line 1: a key must be a name"),
        ("a: [", "this is not YAML"),
        ("#" * (256 << 10) + "#", "larger than the limit of 262144 bytes"),
        ("{a: " * 100, "line 1: the file is nested too deeply"),
        ("- " * 100, "line 1: the file is nested too deeply"),
    ],
    ids=lambda value: value[-20:],
)
def test_an_invalid_file_is_an_error(read, text, words):
    """
    The error names the file, and the line if it is known.
    """
    with pytest.raises(InvalidYaml) as caught:
        read(text)

    assert str(read.path) in str(caught.value)
    assert words in str(caught.value)


def test_a_file_of_too_many_values_is_an_error(read, monkeypatch):
    """
    What a small file costs depends on its values more than on its size.
    """
    monkeypatch.setattr(yaml_nodes, "_MOST_VALUES", 50)

    assert len(read("- []\n" * 49).value) == 49
    with pytest.raises(InvalidYaml, match="line 50: the file has more than the limit of 50 values"):
        read("- []\n" * 50)


@pytest.mark.parametrize("number", ["1" * 200, "1" + ":59" * 8_000, "0x" + "f" * 200])
def test_a_number_of_many_digits_is_an_error(read, number):
    """
    Only the digits of reasonable numbers are worked out.
    """
    node = read(f"a: {number}")

    with pytest.raises(InvalidYaml, match=r"file\.yaml: a value cannot be read: it is a number of"):
        plain_value(node, read.path)


def test_a_file_in_another_encoding_is_an_error(tmp_path):
    """
    The error names the line.
    """
    path = tmp_path / "file.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(InvalidYaml, match=r"file\.yaml, line 2: this is not text in UTF-8"):
        read_yaml(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    """
    The caller knows better what the file is for.
    """
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "none.yaml")
