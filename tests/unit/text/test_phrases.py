"""Suggestions for unknown names, and numbers with their noun."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.phrases import (
    counted,
    cut_end,
    cut_middle,
    did_you_mean,
    first_line,
    first_of,
    was,
)


def test_the_most_similar_name_is_suggested():
    """
    A typing error leads to the name that was meant.
    """
    assert " (did you mean 'image'?)" == did_you_mean("imgae", ["engine", "image", "env"])


def test_nothing_is_suggested_for_a_name_that_resembles_none():
    """
    The text is empty, so that it can be added to any message.
    """
    assert "" == did_you_mean("zzz", ["engine", "image"])


def test_names_of_the_caller_come_first():
    """
    Names in `first` are suggested even if they are not similar, and no name appears twice.
    """
    suggested = did_you_mean("topic", ["origin/topic", "topics"], first=["origin/topic"])

    assert " (did you mean 'origin/topic' or 'topics'?)" == suggested


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "check", "", "0 checks"),
        (1, "check", "", "1 check"),
        (2, "check", "", "2 checks"),
        (2, "entry", "entries", "2 entries"),
    ],
)
def test_a_number_decides_between_singular_and_plural(number, noun, plural, text):
    """
    Only one thing is in the singular.
    """
    assert text == counted(number, noun, plural)
    assert was(number) == ("was" if number == 1 else "were")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        (list("abcd"), "a, b and 2 more"),
    ],
)
def test_a_long_list_ends_with_the_number_of_the_others(names, text):
    """
    `more` has no plural.
    """
    assert text == first_of(names, 2)


def test_what_is_left_out_of_a_text_is_marked():
    """
    A text that fits is not changed.
    """
    assert ("abc", "abc...") == (cut_end("abc", 3), cut_end("abcd", 3))
    assert ("0123456789", "012 ... 789") == (
        cut_middle("0123456789", 10),
        cut_middle("0123456789_789", 11),
    )
    assert ("", "a", "a ...") == tuple(first_line(text, 9) for text in ("", "a", "a\nb"))
