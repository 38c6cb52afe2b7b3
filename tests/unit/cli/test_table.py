"""Tables as lines of text."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.cli.table import table


def test_columns_are_aligned_and_lines_have_no_trailing_spaces():
    """
    Each column is as wide as its widest cell.
    """
    assert ["  NAME  AGE", "  a     1 h", "  bbbb"] == list(
        table([("NAME", "AGE"), ("a", "1 h"), ("bbbb", "")], indent=2)
    )


def test_a_cell_beyond_the_widest_column_moves_the_rest_of_its_line():
    """
    The other lines stay aligned.
    """
    assert ["aaaaaa  1", "b    2"] == list(table([("aaaaaa", "1"), ("b", "2")], widest=3))


def test_rows_of_different_length_are_an_error():
    """
    A missing cell is a mistake of the caller.
    """
    with pytest.raises(ValueError, match="zip"):
        list(table([("a", "b"), ("c",)]))
