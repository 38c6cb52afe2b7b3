"""The share of the tests that runs on each of the two engines of `make test`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHARES", "is_in_share"]

SHARES = ("docker", "native")

_INTEGRATION = Path(__file__).parent.parent / "integration"

_DOCKER = {
    "build",
    "compose",
    "debug_log",
    "doctor",
    "faults",
    "fleet",
    "shared_cache",
}
"""What is about Docker: its client, its daemons, its messages."""

_BOTH = {
    "ahead",
    "bypass_inside",
    "diff",
    "escape",
    "handle",
    "images",
    "isolation",
    "limits",
    "network",
    "ports",
    "resume",
    "smoke",
}
"""What an engine does itself, beside the contract: confinement, files, terminals, limits."""


def is_in_share(path: Path, share: str, *, any_engine: bool = False) -> bool:
    """
    Return whether a test of the file *path* runs in *share*.

    A session costs two to three times as much processor time on Docker as on the engine without a
    daemon. What does not depend on the engine runs on the latter.

    Args:
        path: the file.
        share: one of `SHARES`.
        any_engine: whether the test has the marker `any_engine`: others of its file depend on the
            engine, and this one does not.
    """
    if not path.is_relative_to(_INTEGRATION):
        return share == "docker"
    if any_engine:
        return share == "native"
    name = path.stem.removeprefix("test_")
    return name in _BOTH or (name in _DOCKER) == (share == "docker")
