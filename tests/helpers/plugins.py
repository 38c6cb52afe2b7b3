"""Plugins of pytest that are left out of the runs which tests start."""

from __future__ import annotations

__all__ = ["LEFT_OUT", "without"]

# They take longer to load than such a run takes, and have no effect on it.
LEFT_OUT = (
    "anyio",
    "asyncio",
    "fakefs",
    "hypothesispytest",
    "recording",
    "requests_mock",
    "socket",
    "time_machine",
)


def without(*names: str) -> tuple[str, ...]:
    """
    Return pytest's options that leave out the plugins *names*.
    """
    return tuple(word for name in names for word in ("-p", f"no:{name}"))
