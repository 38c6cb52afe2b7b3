"""Programs that run as the first process of our containers, and their source for the images."""

from __future__ import annotations

from importlib import resources

__all__ = ["source"]


def source(name: str) -> bytes:
    """
    The text of one of the programs here, to be put into an image.

    Args:
        name: `agent` or `holder`.
    """
    return resources.files(__name__).joinpath(f"{name}.py").read_bytes()
