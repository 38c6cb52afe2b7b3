"""Tests of replacing values in pieces of data, by a mark or by as many bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.network.rules.masking import MaskedStream


@given(
    # Few letters, so that values overlap, repeat, and are parts of each other.
    values=st.lists(st.text("ab", min_size=1, max_size=5).map(str.encode), max_size=3),
    text=st.text("abc", max_size=40).map(str.encode),
    cuts=st.lists(st.integers(0, 40), max_size=8),
)
def test_each_byte_of_a_value_is_replaced(
    values: list[bytes], text: bytes, cuts: list[int]
) -> None:
    """
    And no other byte is, wherever the pieces are split.
    """
    covered = {
        at + n
        for value in values
        for at in range(len(text))
        if text.startswith(value, at)
        for n in range(len(value))
    }
    expected = bytes(b"*"[0] if at in covered else one for at, one in enumerate(text))
    stream = MaskedStream(values, filler=b"*")
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})

    passed = b"".join(stream.feed(text[start:stop]) for start, stop in pairwise(at))

    assert passed + stream.end() == expected


def test_values_that_overlap_have_one_mark() -> None:
    """
    Those beside each other have two.
    """
    stream = MaskedStream([b"abcd", b"cdef"], mark=b"#")

    assert stream.feed(b"xabcd") + stream.feed(b"efx") + stream.end() == b"x#x"
    assert stream.feed(b"abcdabcd") + stream.end() == b"##"
