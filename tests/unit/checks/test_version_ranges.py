"""Ranges of versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.checks.version_ranges import accepts, is_of_python, numbers_of


@pytest.mark.parametrize(
    ("wanted", "selected", "expected"),
    [
        (">=18", "20", True),
        (">=20.19", "20", True),
        (">20", "20", False),
        (">20.1", "20", True),
        ("<20", "20", False),
        ("<=20", "20", True),
        ("^20.1.0", "20", True),
        ("^18", "20", False),
        ("^0.2.3", "0.2.9", True),
        ("^0.2.3", "0.3.0", False),
        ("^0.0.3", "0.0.4", False),
        ("~20.1", "20", True),
        ("~20.1", "20.2", False),
        ("20", "20", True),
        ("20.x", "20", True),
        ("v20.0.0", "20", True),
        ("=18.0.0", "20", False),
        ("18 || 20", "20", True),
        ("18 || >= 22", "20", False),
        (">= 18 < 20", "20", False),
        (">=18.0.0 <21", "20", True),
        ("18 - 20", "20", True),
        ("16.0.0 - 18.9", "20", False),
        ("*", "20", True),
        ("", "20", True),
        ("latest", "20", True),
        (">=22.0.0-rc.1", "20", False),
        ("lts/*", "20", True),
        ("!=20", "20", True),
        ("20", "", True),
    ],
)
def test_ranges_of_npm(wanted, selected, expected):
    """
    A selected version stands for all that begin with it.
    """
    assert expected is accepts(wanted, selected)


@pytest.mark.parametrize(
    ("wanted", "selected", "expected"),
    [
        ("~8.2", "8.4", True),
        ("~8.2.0", "8.4", False),
        ("^8.2", "8.4", True),
        ("^7.4|^8.0", "8.4", True),
        (">=8.1,<8.4", "8.4", False),
        ("8.3.*", "8.4", False),
    ],
)
def test_ranges_of_composer(wanted, selected, expected):
    """
    `~8.2` is below 9.
    """
    assert expected is accepts(wanted, selected, "composer")


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_text_has_an_answer(wanted, selected):
    """
    Repositories write what they want.
    """
    for dialect in ("npm", "composer", "python"):
        assert accepts(wanted, selected, dialect) in (True, False)


@pytest.mark.parametrize("text", ["9" * 5000, ">=" + "9" * 5000, "1." + "9" * 5000, ">=1 " * 5000])
def test_versions_that_nobody_has(text):
    """
    Python refuses to read very long numbers.
    """
    assert accepts(text, "20") in (True, False)
    assert numbers_of(text) in ((), (1,))


def test_numbers():
    """
    Those at the beginning.
    """
    assert (20, 11, 0) == numbers_of("v20.11.0")
    assert (3, 12) == numbers_of("3.12-dev")
    assert () == numbers_of("lts/iron")


@pytest.mark.parametrize(
    ("wanted", "selected", "expected"),
    [
        (">=3.9", "3.12", True),
        (">3.12", "3.12", True),
        (">3.12", "3.12.0", False),
        ("~=3.13.0", "3.14", False),
        ("<3.13,!=3.12.*", "3.12", False),
        ("^3.9", "3.12", True),
        (">=3." + "9" * 5000, "3.12", True),
    ],
)
def test_ranges_of_python(wanted, selected, expected):
    """
    What is no range of Python accepts everything.
    """
    assert expected == accepts(wanted, selected, "python")


def test_what_is_a_range_of_python():
    """
    Poetry also takes those of npm.
    """
    assert is_of_python(">=3.9,<4")
    assert not is_of_python("^3.9")
    assert not is_of_python(">=3.9," * 200)
