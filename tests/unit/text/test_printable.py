"""Tests of removing terminal control sequences."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]0;title\x1b\\x", "x"),
        ("\x1b[2Jx\x1b[10;10H", "x"),
        ("a\rb\x08\x9b2J", "ab2J"),
        ("\udcff", "\ufffd"),
    ],
)
def test_control_sequences_are_removed(text, shown):
    """
    Colours are kept, and surrogates are replaced.
    """
    assert shown == printable(text)


def test_colours_are_reset_at_the_end():
    """
    Otherwise they would apply to the following lines.
    """
    assert "\x1b[31mred\x1b[0m" == printable("\x1b[31mred")
