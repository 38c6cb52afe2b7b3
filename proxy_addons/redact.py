"""
Making what a client sent fit for the log: printable, short, without secrets.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = ["REDACTED", "printable", "safe_path"]

REDACTED = "REDACTED"
"""Stands where a secret was."""

_LONGEST = 4096
_UNPRINTABLE = re.compile(rb"[^\x21-\x7e]")
_SECRET = re.compile(
    r"(?:^|[^a-z])(?:access[^a-z]?)?(?:"
    r"token|secret|password|passwd|pwd|passphrase|credentials?|signature|sig|auth|authorization"
    r"|api[^a-z]?key|key|session(?:[^a-z]?id)?|sid|code|jwt|otp"
    r")(?:$|[^a-z])|token$|secret$|password$|apikey$|signature$|credential$",
)


def safe_path(raw: bytes) -> str:
    """
    A request's path and query as text, with every value replaced whose
    name looks like that of a secret.

    Example:
        >>> safe_path(b"/a?page=2&access_token=abc")
        '/a?page=2&access_token=REDACTED'
    """
    path, mark, query = printable(raw).partition("?")
    if not mark:
        return path
    # Both separators that servers know.
    parts = re.split(r"([&;])", query)
    return path + mark + "".join(_without_secret(part) for part in parts)


def printable(raw: bytes) -> str:
    """
    *raw* with every byte escaped that is no printable ASCII, cut to 4096
    characters.
    """
    text = _UNPRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], raw[:_LONGEST]).decode("ascii")
    return text if len(text) <= _LONGEST and len(raw) <= _LONGEST else text[:_LONGEST] + "..."


def _without_secret(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not value:
        return parameter
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unquote(name)).lower()
    return f"{name}={REDACTED}" if equals and _SECRET.search(words) else parameter
