"""Tests of removing secret values from text and streams."""

from __future__ import annotations

import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.secrets.redaction import Redaction
from pytest_codex_workspace.text.credentials import MASK

# Few letters, so that values overlap, repeat, and are prefixes of each other.
VALUES = st.lists(st.text("ab", min_size=4, max_size=7), min_size=1, max_size=3)
TEXT = st.text("abc\n", max_size=60)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    """
    Split *text* at some positions.
    """
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:stop] for start, stop in pairwise(at)]


def streamed(redaction: Redaction, parts: list[bytes]) -> bytes:
    stream = redaction.stream()
    return b"".join(stream.feed(part) for part in parts) + stream.end()


@given(values=VALUES, text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_a_stream_may_be_split_anywhere(values: list[str], text: str, cuts: list[int]) -> None:
    """
    The result is the same as for the whole text.
    """
    redaction = Redaction(values)

    assert redaction.data(text.encode()) == streamed(redaction, pieces(text.encode(), cuts))


@given(values=VALUES, text=TEXT)
def test_characters_outside_of_values_are_kept(values: list[str], text: str) -> None:
    """
    Exactly these characters are kept, in their order.
    """
    covered = set()
    for value in values:
        covered |= {
            at + n
            for at in range(len(text))
            if text.startswith(value, at)
            for n in range(len(value))
        }
    left = "".join(letter for at, letter in enumerate(text) if at not in covered)

    clean = Redaction(values).text(text)

    assert left == clean.replace(MASK, "")
    assert bool(covered) == (MASK in clean)


@given(
    value=st.text(min_size=4, max_size=30).filter(lambda one: len(one.strip()) >= 4),
    before=st.text("xyz \n", max_size=20),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
def test_no_value_remains(value: str, before: str, cuts: list[int]) -> None:
    """
    Values are any text, with several lines and unusual letters, in their usual encodings.
    """
    shown = value.strip()
    spellings = [shown, quote(shown, safe=""), json.dumps(shown)[1:-1], shown.replace("'", r"'\''")]
    text = before.join(["", *spellings, ""]).encode("utf-8", "surrogateescape")

    clean = streamed(Redaction([value]), pieces(text, cuts)).decode("utf-8", "surrogateescape")

    assert clean.count(MASK) >= 1
    if not set(shown) & {*before, "*"}:
        for spelling in spellings:
            assert spelling not in clean


KEY = "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n"


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        (["hush"], "hush", "***"),
        (["hush"], "hus", "hus"),
        (["hush"], "hushhush", "******"),
        (["hush\n"], "hush and", "*** and"),
        (["abcd", "abcdef"], "abcdef", "***"),
        (["abcd", "cdef"], "xabcdefx", "x***x"),
        (["aaaa"], "aaaaaa", "***"),
        ([KEY], KEY, "***\n"),
        ([KEY], KEY.replace("\n", "\r\n  "), "***\r\n  ***\r\n  ***\r\n  ***\r\n  "),
        ([KEY], f"{{{json.dumps(KEY)}}}", '{"***\\n"}'),
        (["a/b&c=d"], "https://x.test/?q=a%2Fb%26c%3Dd&r", "https://x.test/?q=***&r"),
        (["it's me"], r"+ echo 'it'\''s me'", "+ echo '***'"),
        (["Grüße"], "Grüße, Gr%C3%BC%C3%9Fe", "***, ***"),
        ([], "hush", "hush"),
    ],
)
def test_examples_of_overlaps_lines_and_encodings(
    values: list[str], text: str, expected: str
) -> None:
    """
    Each example has the expected text.
    """
    assert expected == Redaction(values).text(text)


def test_a_stream_holds_back_only_the_beginning_of_a_value() -> None:
    """
    Everything else is shown at once.
    """
    stream = Redaction(["hush"]).stream()

    assert [b"a line\n", b"and hu", b"", b"***.", b"hu"] == [
        stream.feed(b"a line\n"),
        stream.feed(b"and huhu")[:6],
        stream.feed(b"s"),
        stream.feed(b"h.hu"),
        stream.end(),
    ]


def test_the_held_back_data_is_shorter_than_a_value() -> None:
    """
    This holds for a flood of the beginning of a value.
    """
    stream = Redaction(["a" * 999 + "b"]).stream()

    shown = b"".join(stream.feed(b"a" * 5000) for _ in range(50))

    held_back = stream.end()
    assert b"a" * 250_000 == shown + held_back
    assert len(held_back) < 1000
