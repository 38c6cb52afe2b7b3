"""Where the files that go into images are: in the installed wheel, or in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .errors import ImageBuildError

__all__ = ["package_dir", "resource_dir"]


def package_dir() -> Path:
    """
    The directory of this package, whose agent and policy go into images too.
    """
    return Path(__file__).resolve().parent


def resource_dir(name: Literal["dockerfiles", "examples", "proxy_addons"]) -> Path:
    """
    A directory of files that are not Python modules of this package.

    Args:
        name: which one.

    Returns:
        The copy that the wheel carries, or the checkout's own.

    Raises:
        ImageBuildError: neither is there.
    """
    package = package_dir()
    tried = (package / "_resources" / name, package.parent / name)
    for directory in tried:
        if directory.is_dir():
            return directory
    raise ImageBuildError(
        f"this installation lacks its {name} directory (looked for {tried[0]} and {tried[1]}); "
        "install pytest-codex-workspace again"
    )
