"""Each promise of the seed is proved by tests that exist and name it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    (row[1], re.findall(r"`(tests/\S+)::(\w+)`", row[0]))
    for row in re.finditer(r"^\| (S\d+) \|.*$", (ROOT / "docs/seed-parity.md").read_text(), re.M)
]


def test_every_promise_has_a_row():
    """
    In order, and once.
    """
    assert [f"S{number}" for number in range(1, 20)] == [promise for promise, _ in ROWS]


@pytest.mark.parametrize(("promise", "tests"), ROWS)
def test_its_tests_are_there(promise, tests):
    """
    And carry its id.
    """
    assert tests
    for file, name in tests:
        assert promise in promises_of(file).get(name, ()), f"{file}::{name}"


@cache
def promises_of(file: str) -> dict[str, set[str]]:
    """
    The tests of a file, and which promises each says that it proves.
    """
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = {
                str(ast.literal_eval(word))
                for mark in node.decorator_list
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise"
                for word in mark.args
            }
    return found
