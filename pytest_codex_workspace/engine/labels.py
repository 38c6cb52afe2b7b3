"""The labels of our engine objects."""

from __future__ import annotations

from collections.abc import Mapping

from ..unpatched import clock

__all__ = [
    "CA",
    "CREATED",
    "HEAD",
    "KEY",
    "KIND",
    "NAME",
    "PARTS",
    "PID",
    "RECORD",
    "REPO",
    "SESSION",
    "created",
    "has_labels",
    "now",
]

_PREFIX = "io.codex-workspace."

SESSION = _PREFIX + "session"
"""Id of the session that created the object."""

KIND = _PREFIX + "kind"
"""
The kind of the object. Images are `base`, `tools`, `compose`, `proxy`, `clean`, `setup`,
`ready`, `prepared`, `kept` or `temporary`; other objects are `workspace`, `holder`, `proxy` or
`network`.
"""

REPO = _PREFIX + "repo"
"""Id of the projected repository."""

KEY = _PREFIX + "key"
"""The content key of an image."""

HEAD = _PREFIX + "head"
"""The commit that the project directory of an image has."""

NAME = _PREFIX + "name"
"""Name of the projected repository."""

PARTS = _PREFIX + "parts"
"""The inputs of a setup image: `content_key.fingerprint` as JSON."""

CA = _PREFIX + "ca"
"""Digest of the CA certificate that an image trusts."""

RECORD = _PREFIX + "record"
"""Digest of the record of the scripts that led to an image."""

CREATED = _PREFIX + "created"
"""The time of creation in seconds since the epoch, as text."""

PID = _PREFIX + "pid"
"""The session's process: the place where its id is unique, its start time, and its id."""


def has_labels(found: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    """
    Check whether the labels *found* have all *wanted* ones; `None` matches any value.
    """
    return all(
        name in found and (value is None or found[name] == value) for name, value in wanted.items()
    )


def now() -> str:
    """
    Return the value of `CREATED` for an object that is created now.
    """
    return f"{clock.wall_time():.3f}"


def created(found: Mapping[str, str]) -> float:
    """
    Return when an object with the labels *found* was created, in seconds since the
    epoch; 0 if that is unknown.
    """
    try:
        value = float(found.get(CREATED, ""))
    except (TypeError, ValueError):
        return 0.0
    # A label may be anybody's: dates must be able to show it.
    return value if 0 <= value < 1e11 else 0.0
