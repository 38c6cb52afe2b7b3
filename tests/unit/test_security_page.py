"""What docs/security.md promises is shown by tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/security.md").read_text()
NAMED = re.findall(r"`(tests/\S+\.py)::([\w:]+)`", TEXT)
ADVERSARIES = re.search(r"^\| adversary .*?\n\n", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_test_is_there(file, name):
    """
    Under the name that the page gives.
    """
    assert name in names_in(file)


def test_nothing_is_promised_without_a_test():
    """
    Each row of the table of adversaries names one.
    """
    assert ADVERSARIES is not None
    rows = ADVERSARIES[0].splitlines()[2:]
    assert len(rows) > 15
    assert [] == [row for row in rows if row and "`tests/" not in row.split(" | ")[-1]]


def test_each_folder_on_this_machine_is_listed():
    """
    Those that the package names in its directories of a user.
    """
    texts = [one.read_text() for one in (ROOT / "pytest_codex_workspace").rglob("*.py")]
    found = re.findall(r'cache_dir\(\) / "([\w.-]+)"', "\n".join(texts))
    kept = TEXT[TEXT.index("## What stays on this machine") : TEXT.index("## The certificate")]

    assert len(set(found)) > 5
    assert {one for one in found if f"`{one}`" not in kept} == set()


@cache
def names_in(file: str) -> set[str]:
    """
    Return the names of the tests of a file, those of classes after the name of the class.
    """
    tree = ast.parse((ROOT / file).read_text())
    return {name for node in tree.body for name in _names(node)}


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.ClassDef):
        return {f"{node.name}::{name}" for below in node.body for name in _names(below)}
    return set()
