"""Tests of the check of header fields that files and tests bring."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.network.rules.header_fields import FRAMING, check_header


@pytest.mark.parametrize(("name", "value"), [("X-A", ""), ("etag", '"\xe9"'), ("a.b", "c\td")])
def test_a_field_of_one_line_is_accepted(name: str, value: str) -> None:
    """
    Names are tokens, values are one line of Latin-1.
    """
    check_header(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "b"),
        (":a", "b"),
        ("a b", "c"),
        ("a\n", "b"),
        (1, "b"),
        ("a", "b\r"),
        ("a", "\0"),
        ("a", "\x7f"),
        ("a", "\u0100"),
        ("a", None),
        *[(name.title(), "x") for name in FRAMING],
    ],
)
def test_other_fields_are_refused(name: object, value: object) -> None:
    """
    A field that would end the line, or that says how the message is sent, is refused.
    """
    with pytest.raises(ValueError, match="header"):
        check_header(name, value)
