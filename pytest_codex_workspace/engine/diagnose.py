"""Why a container does not answer any more, in words for an error."""

from __future__ import annotations

from ..errors import CodexWorkspaceError
from .protocol import Engine

__all__ = ["fate_of"]


def fate_of(engine: Engine, container: str) -> str:
    """
    Return half a sentence on why *container* sends nothing any more.
    """
    try:
        info = engine.container(container)
    except CodexWorkspaceError as error:
        return f"the engine does not answer any more: {error}"
    if info is None:
        return "its container is gone: killed, removed, or out of memory"
    if info.running:
        return "its container still runs, but its first process does not answer"
    reason = " (out of memory)" if info.oom_killed else ""
    return f"its container ended with exit code {info.exit_code}{reason}"
