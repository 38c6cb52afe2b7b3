"""How options are spelled, and that no text spells them itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest_codex_workspace
from pytest_codex_workspace.options.table import OPTIONS
from pytest_codex_workspace.text.option_names import spell_option, spelled

PACKAGE = Path(pytest_codex_workspace.__file__).parent

OF_ONE_PROGRAM = (
    *("cli", "doctor", "plugin", "options/markers.py", "projection/compose_main.py"),
    "_resources",  # The programs of containers, in an installed wheel.
)
"""What only one of the programs shows."""

SPELLED = re.compile(
    rf"(?<!pytest )--codex-[a-z]|(?<![\w-])--({'|'.join(one.name for one in OPTIONS)})(?![\w-])"
)


def test_the_program_at_hand_decides():
    """
    It is pytest, unless the command says so.
    """
    assert spell_option("image") == "--codex-image"
    with spelled("--{}"):
        assert spell_option("image") == "--image"
        assert spell_option("image", "slim") == "--image=slim"
    assert spell_option("image", "slim") == "--codex-image=slim"


def test_no_text_spells_an_option_itself():
    """
    Modules that pytest and the command share name options with `spell_option`.
    """
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value!r:.80}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path.relative_to(PACKAGE)).startswith(OF_ONE_PROGRAM)
        for text in (path.read_text("utf-8"),)
        if SPELLED.search(text)
        for node in texts_of(ast.parse(text))
        if SPELLED.search(node.value)
    ]
    assert found == []


def texts_of(tree: ast.AST) -> list[ast.Constant]:
    """
    Return the texts in the code that are not documentation.
    """
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
    ]
