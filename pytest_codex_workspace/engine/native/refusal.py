"""Errors of this engine, in the words that others use."""

from __future__ import annotations

from ...errors import EngineError

__all__ = ["refused"]

_ADVICE = {
    "no such image": "Build, import or pull the image first.",
    "skopeo is not installed": "Install it (Debian and Ubuntu: apt-get install skopeo), or load "
    "the image from an archive.",
    "no space left on device": "`codex-workspace clean` removes what this package left behind.",
}


def refused(what: str, words: str) -> EngineError:
    """
    Return the error for something that could not be done.

    Args:
        what: the action, as in "could not ...".
        words: why.
    """
    advice = next((text for part, text in _ADVICE.items() if part in words.lower()), "")
    return EngineError(f"The container engine could not {what}: {words}", remedy=advice)
