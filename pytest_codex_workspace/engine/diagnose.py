"""Why a container no longer responds, in words for an error."""

from __future__ import annotations

import signal

from ..errors import CodexWorkspaceError
from ..text.option_names import spell_option
from .protocol import Engine

__all__ = ["describe_container"]


_KILLED = 128 + signal.SIGKILL


def describe_container(engine: Engine, container: str) -> str:
    """
    Return half a sentence on why *container* no longer responds.
    """
    try:
        info = engine.container(container)
        if (info is None or not info.running) and _ran_out_of_memory(engine, container):
            return (
                "its container was out of memory, and its first process was killed; "
                f"{spell_option('memory')} sets the limit"
            )
    except CodexWorkspaceError as error:
        return f"the engine no longer responds: {error}"
    if info is None:
        return "its container is gone: killed, removed, or out of memory"
    if info.running:
        return "its container is running, but its first process does not respond"
    reason = " (killed from outside)" if info.exit_code == _KILLED else ""
    reason = " (out of memory)" if info.oom_killed else reason
    return f"its container ended with exit code {info.exit_code}{reason}"


def _ran_out_of_memory(engine: Engine, container: str) -> bool:
    try:
        return engine.ran_out_of_memory(container)
    except (CodexWorkspaceError, KeyError, ValueError):
        return False
