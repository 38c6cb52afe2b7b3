"""Tests of escaping untrusted text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.network.rules.text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("grüße", "grüße"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202eabc", "\\u202eabc"),
        ("\udcff", "\\udcff"),
        ("x" * 5000, "x" * 4096 + "..."),
    ],
)
def test_unprintable_characters_are_escaped(text: str, shown: str) -> None:
    """
    Printable text is unchanged, other characters are escaped, and long text is cut.
    """
    assert plain(text) == shown


@given(st.text(st.characters()))
def test_the_result_is_printable(text: str) -> None:
    """
    The result is printable, whatever the text contains.
    """
    assert plain(text).isprintable()
