"""The labels that every engine object of ours carries."""

from __future__ import annotations

import time
from collections.abc import Mapping

__all__ = [
    "CA",
    "CREATED",
    "HEAD",
    "KEY",
    "KIND",
    "NAME",
    "PARTS",
    "PID",
    "REPO",
    "SESSION",
    "created",
    "now",
]

_PREFIX = "io.codex-workspace."

SESSION = _PREFIX + "session"
"""Id of the session that made the object."""

KIND = _PREFIX + "kind"
"""
What the object is: `base`, `compose`, `proxy`, `clean`, `setup`, `ready`, `kept`
or `temporary` for an image; `workspace`, `holder`, `proxy` or `network`.
"""

REPO = _PREFIX + "repo"
"""Identity of the projected repository."""

KEY = _PREFIX + "key"
"""The content key of an image."""

HEAD = _PREFIX + "head"
"""The commit an image's project directory stands at."""

NAME = _PREFIX + "name"
"""Name of the projected repository."""

PARTS = _PREFIX + "parts"
"""What a setup image was made from: `keys.fingerprint` as JSON."""

CA = _PREFIX + "ca"
"""Digest of the authority's certificate that an image trusts."""

CREATED = _PREFIX + "created"
"""Seconds since the epoch, as text."""

PID = _PREFIX + "pid"
"""The session's process: where its id counts, when it started, and the id."""


def now() -> str:
    """
    The value of `CREATED` for what is made now.
    """
    return f"{time.time():.3f}"


def created(found: Mapping[str, str]) -> float:
    """
    When an object with the labels *found* was made, in seconds since the
    epoch; long ago if they do not say.
    """
    try:
        return float(found.get(CREATED, ""))
    except ValueError:
        return 0.0
