"""Whether a process is a worker of pytest-xdist, and what it gets from its controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

__all__ = ["ENGINE_KEY", "STANDARD_INPUT_KEY", "STARTED_KEY", "is_worker", "worker_input"]

STARTED_KEY = "codex_workspace_started"
"""Name of the start time of the run in what a worker gets."""


ENGINE_KEY = "codex_workspace_engine"
"""Name of the number of the engine that a worker begins with, among several."""

STANDARD_INPUT_KEY = "codex_workspace_standard_input"
"""Name of what the controller has read from standard input, which a worker does not have."""


def is_worker(config: pytest.Config) -> bool:
    """
    Return whether this process is a worker.
    """
    return hasattr(config, "workerinput")


def worker_input(config: pytest.Config) -> Mapping[str, Any]:
    """
    Return what the controller has sent to this worker; nothing in any other process.
    """
    found: Mapping[str, Any] = getattr(config, "workerinput", {})
    return found
