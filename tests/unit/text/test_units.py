"""Tests of parsing and formatting durations and sizes."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.units import (
    parse_duration,
    parse_size,
    show_duration,
    show_elapsed,
    show_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30m", 1800), ("12h", 43200), ("2d", 172800), ("1.5 H", 5400), ("0.5s", 0.5)],
)
def test_a_duration_is_a_number_with_a_unit(text, seconds):
    """
    Without a unit, the number is in seconds.
    """
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "0", "h", "-1h", "12x", "1h30m", "inf", "nan", "1e3"])
def test_an_invalid_duration_is_an_error(text):
    """
    The error shows examples.
    """
    with pytest.raises(ValueError, match="such as 90, 30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("10", 10), ("20GB", 20 * 10**9), ("1.5gib", 3 * 2**29), ("7 kB", 7000)],
)
def test_a_size_is_a_number_with_a_unit(text, size):
    """
    Units are powers of 1000, or of 1024 if they contain an `i`.
    """
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20GHz", "1,5GB"])
def test_an_invalid_size_is_an_error(text):
    """
    The error shows examples.
    """
    with pytest.raises(ValueError, match="such as 500MB"):
        parse_size(text)


def test_durations_and_sizes_are_formatted_in_large_units():
    """
    43200 s and 20000000000 B are hard to read.
    """
    durations = [show_duration(one) for one in (0, 59, 60, 3599, 3661, 90000)]
    sizes = [show_size(one) for one in (0, 999, 1000, 1_500_000, 20 * 10**9)]

    assert ["0 s", "59 s", "1 min", "59 min", "1 h 1 min", "1 d 1 h"] == durations
    assert ["0 B", "999 B", "1 kB", "1.5 MB", "20 GB"] == sizes


def test_what_still_runs_has_seconds():
    """
    A line every few seconds says something new.
    """
    assert ["59 s", "1 min 0 s", "2 min 8 s", "1 h 1 min"] == [
        show_elapsed(one) for one in (59, 60, 128, 3661)
    ]


@pytest.mark.parametrize("number", ["9" * 400, "\u0661", "nan", "inf", "1e9", "-1"])
def test_numbers_that_nobody_means_are_rejected(number):
    """
    They would be infinite, or end in an error far from the option.
    """
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(number)
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(f"{number}GB")
