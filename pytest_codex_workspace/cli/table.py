"""Tables as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["table"]


def table(
    rows: Sequence[Sequence[str]], *, indent: int = 0, widest: int | None = None
) -> Iterator[str]:
    """
    Yield each row as a line, with columns aligned to the left.

    Args:
        rows: the cells; each row has the same number.
        indent: the number of spaces before each line.
        widest: the maximum width of a column. A longer cell moves the rest of its line.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if widest is not None:
        widths = [min(width, widest) for width in widths]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (" " * indent + "  ".join(cells)).rstrip()
