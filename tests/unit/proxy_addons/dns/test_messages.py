"""Parsing DNS queries."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from proxy_addons.dns.messages import build_response, parse_query


@given(st.binary(max_size=600))
def test_any_bytes_can_be_parsed(data: bytes) -> None:
    """
    Nothing that a workspace sends makes the parser fail.
    """
    question = parse_query(data)
    if question is not None:
        assert build_response(question, 5)[:2] == data[:2]
        assert question.name.isprintable()


def test_unusual_bytes_in_names_are_escaped() -> None:
    """
    A dot inside a label is not a separator.
    """
    label = b"\x05a.\xff b"
    message = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + label + b"\0\0\1\0\1"
    question = parse_query(message)

    assert question is not None
    assert question.name == r"a\046\255\032b"
