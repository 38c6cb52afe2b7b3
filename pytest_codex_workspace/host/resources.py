"""The directories of files that go into images, in an installed wheel or a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import ImageBuildError

__all__ = ["package_dir", "resource_dir"]


def package_dir() -> Path:
    """
    Return the directory of this package, whose agent and policy go into images, too.
    """
    return Path(__file__).resolve().parent.parent


def resource_dir(name: Literal["dockerfiles", "examples", "proxy_addons"]) -> Path:
    """
    Return a directory of files that are not Python modules of this package.

    Args:
        name: the name of the directory.

    Returns:
        The copy in the wheel, or the directory of the checkout.

    Raises:
        ImageBuildError: neither of them exists.
    """
    package = package_dir()
    tried = (package / "_resources" / name, package.parent / name)
    for directory in tried:
        if directory.is_dir():
            return directory
    raise ImageBuildError(
        f"this installation has no {name} directory (looked for {tried[0]} and {tried[1]}); "
        "reinstall pytest-codex-workspace"
    )
