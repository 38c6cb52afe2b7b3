"""What the matrix installs as the lowest versions is that: tools/lowest_versions.py."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from lowest_versions import newer

INSTALLED = version("packaging")


@pytest.mark.parametrize(
    ("requirement", "lines"),
    [
        (f"packaging>={INSTALLED}", []),
        (f"packaging>={INSTALLED.split('.')[0]}", []),
        (f"packaging>={INSTALLED},<{int(INSTALLED.split('.')[0]) + 1}", []),
        ("packaging>=1.2", [f"packaging>=1.2: {INSTALLED} is installed"]),
        ("packaging", ["packaging: it has no lower bound"]),
    ],
)
def test_a_version_above_the_lower_bound_is_named(requirement, lines):
    """
    A bound without the last number is met by every release of that series.
    """
    assert list(newer([requirement])) == lines
