"""Text from a workspace, on a terminal."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b[2Jx\x1b[10;10H", "x"),
        ("a\rb\x08\x9b2J", "ab2J"),
    ],
)
def test_a_workspace_cannot_steer_the_terminal(text, shown):
    """
    Colours stay, the rest goes.
    """
    assert shown == printable(text)
