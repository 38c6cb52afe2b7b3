"""Each fact of Codex in docs/fidelity.md names how it is known, and a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from pytest_codex_workspace.options.profiles import PROFILES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/fidelity.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| Codex does")
]
KNOWN = re.compile(r"(D|O|C|I|U|–)\b|–")


def test_the_page_begins_with_a_date_and_the_table():
    """
    A reader has to know how old it is. Each section has the same columns.
    """
    assert re.search(r"As of \d{4}-\d\d-\d\d\.", TEXT.split("\n## ")[0])
    header = "| Codex does | how we know | we do | shown by |"
    assert TEXT.count("| Codex does |") == TEXT.count(header) >= 4
    assert len(ROWS) > 40
    assert {len(row) for row in ROWS} == {4}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_each_fact_says_how_it_is_known_and_what_shows_it(row):
    """
    A fact without a test says why it cannot have one.
    """
    _, known, ours, shown = row
    assert KNOWN.match(known), known
    assert ours
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", shown)
    assert named or shown.startswith("cannot be emulated"), shown
    for file, name in named:
        assert name in names_in(file), f"{file}::{name}"


def test_each_profile_is_in_the_tables():
    """
    Where profiles differ, the page says so.
    """
    for name in PROFILES:
        assert f"`{name}`" in TEXT


@cache
def names_in(file: str) -> set[str]:
    """
    Return the names of the tests of a file.
    """
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
