"""How the tests of `make unit` are shared among processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit import parts


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """
    Return six files of different sizes.
    """
    made = [tmp_path / name for name in "abcdef"]
    for path, size in zip(made, (10, 10, 10, 30, 50, 10), strict=True):
        path.write_bytes(bytes(size))
    return made


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, ["abcdef"]), (2, ["abcd", "ef"]), (3, ["abcd", "e", "f"]), (20, ["a", *"bcdef"])],
)
def test_parts_have_about_the_same_size(files, number, expected):
    """
    In the order of the files, and none is empty.
    """
    assert expected == ["".join(path.name for path in part) for part in parts(files, number)]
