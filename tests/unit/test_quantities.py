"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.quantities import (
    parse_duration,
    parse_size,
    show_duration,
    show_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30m", 1800), ("12h", 43200), ("2d", 172800), ("1.5 H", 5400), ("0.5s", 0.5)],
)
def test_durations(text, seconds):
    """
    A number with a unit, seconds without one.
    """
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "0", "h", "-1h", "12x", "1h30m", "inf", "nan", "1e3"])
def test_what_is_no_duration(text):
    """
    The complaint shows what one looks like.
    """
    with pytest.raises(ValueError, match="such as 90, 30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("10", 10), ("20GB", 20 * 10**9), ("1.5gib", 3 * 2**29), ("7 kB", 7000)],
)
def test_sizes(text, size):
    """
    Powers of 1000, and of 1024 where the unit says so.
    """
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20GHz", "1,5GB"])
def test_what_is_no_size(text):
    """
    The complaint shows what one looks like.
    """
    with pytest.raises(ValueError, match="such as 500MB"):
        parse_size(text)


def test_they_are_shown_in_large_units():
    """
    Nobody reads 43200 s or 20000000000 B.
    """
    durations = [show_duration(one) for one in (0, 59, 60, 3599, 3661, 90000)]
    sizes = [show_size(one) for one in (0, 999, 1000, 1_500_000, 20 * 10**9)]

    assert ["0 s", "59 s", "1 min", "59 min", "1 h 1 min", "1 d 1 h"] == durations
    assert ["0 B", "999 B", "1 kB", "1.5 MB", "20 GB"] == sizes
