"""Tests of reading TOML in bounded time."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.toml_tables import read_toml

LONG = "a" + ".a" * 500_000
"""As a key, it takes tomllib an hour."""


def test_tables():
    """
    A document that tools write is read, with long lines too.
    """
    pins = ", ".join(f'"package-{number}==1.2.3"' for number in range(500))
    text = f"[project]\ndependencies = [{pins}]\n" + "[[package]]\nversion = '1.2.3'\n" * 5_000

    found = read_toml(text)

    assert 500 == len(found["project"]["dependencies"])
    assert 5_000 == len(found["package"])


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        f"[{LONG}]\nb = 1",
        f"[[ {LONG} ]]",
        f"a = {{ {LONG} = 1 }}",
        f'a = ["""\n\' """, {{ {LONG} = 1 }}] # \'',
        '"a"' + ' . "a"' * 500_000 + " = 1",
        "[" + "a." * 20_000 + "a]\n" + "".join(f"b{n}.c = 1\n" for n in range(50_000)),
        ("a" + ".a" * 1_000 + " = 1\n") * 2_000,
        "a = " + "[" * 100_000,
        "a = " + "{a = " * 100_000,
        f"a = 0x{'f' * 5_000}",
        "a = ",
    ],
    ids=[
        *("key", "table", "array", "inline", "behind-text", "quoted", "many-in-table", "many"),
        *("nested-arrays", "nested-tables", "long-number", "invalid"),
    ],
)
def test_what_cannot_be_read(text):
    """
    What would take minutes or more cannot be read, as invalid TOML.
    """
    with pytest.raises(ValueError, match=r"\w"):
        read_toml(text)
