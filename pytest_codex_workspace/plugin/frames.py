"""Tracebacks that end where a user's code does."""

from __future__ import annotations

from types import TracebackType

from ..errors import CodexWorkspaceError

__all__ = ["cut_frames"]

_OURS = f"{__name__.partition('.')[0]}."


def cut_frames(error: BaseException) -> None:
    """
    Remove our frames from the end of a traceback that a user's frame leads to, if the error is for
    the user: one of ours, or an interruption from outside.
    """
    if isinstance(error, Exception) and not isinstance(error, CodexWorkspaceError):
        return
    caller, entry = None, error.__traceback__
    while entry is not None:
        if _module_of(entry).startswith(_OURS) and caller is not None:
            if _module_of(caller) == "_pytest.fixtures":
                entry.tb_next = None  # Our fixture.
                return
            if not _module_of(caller).startswith((_OURS, "_pytest.", "pluggy.")):
                caller.tb_next = None
                return
        caller, entry = entry, entry.tb_next


def _module_of(entry: TracebackType) -> str:
    return str(entry.tb_frame.f_globals.get("__name__", ""))
