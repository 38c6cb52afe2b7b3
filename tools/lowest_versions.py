"""
Fail if a package that this one needs is not installed in the lowest version that pyproject.toml
allows: a package of the tests may have wanted a newer one.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent

__all__ = ["main", "newer"]


def main() -> int:
    """
    Print what is newer than it may be.

    Returns:
        The exit code.
    """
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*table["dependencies"], *table["optional-dependencies"]["async"]]
    lines = list(newer(requirements))
    print("\n".join(lines) or "every package is of the lowest version")
    return int(bool(lines))


def newer(requirements: list[str]) -> Iterator[str]:
    """
    Yield a line for each requirement that is installed in a newer version than its lower bound.
    A bound without the last number, as `6`, is met by every release of that series.
    """
    for requirement in map(Requirement, requirements):
        bounds = [one.version for one in requirement.specifier if one.operator == ">="]
        installed = version(requirement.name)
        if not bounds:
            yield f"{requirement}: it has no lower bound"
        elif (
            Version(installed).release[: len(Version(bounds[0]).release)]
            != Version(bounds[0]).release
        ):
            yield f"{requirement}: {installed} is installed"


if __name__ == "__main__":
    sys.exit(main())
