"""The README is short, and what it names is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pytest_codex_workspace.options.table import OPTIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


def test_it_is_short():
    """
    A manual has pages of its own.
    """
    assert len(TEXT.splitlines()) <= 130


def test_its_options_exist():
    """
    Those of pytest, and those of the command of the same name.
    """
    named = set(re.findall(r"--codex-([a-z-]+)", TEXT))

    assert named
    assert named <= {option.name for option in OPTIONS}


def test_it_says_what_the_checkout_installs():
    """
    Each Debian package of tools/programs.toml that not every machine has.
    """
    listed = TEXT[TEXT.index("## Try the checkout") : TEXT.index("## Read on")]

    table = tomllib.loads((ROOT / "tools/programs.toml").read_text())
    packages = {
        *table["demo"].values(),
        *(one if isinstance(one, str) else one[0] for one in table["test"].values()),
    }

    # Debian and Ubuntu have apt on every machine.
    assert sorted(one for one in packages - {"apt"} if f"`{one}`" not in listed) == []
    assert "make clean-machine" in listed
