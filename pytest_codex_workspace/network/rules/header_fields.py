"""
Check header fields that files and tests bring, before anything sends them.

This module is copied into the proxy image, so it imports the standard library
only.
"""

from __future__ import annotations

import re

__all__ = ["FRAMING", "check_header", "is_header_value", "is_token"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that say how one message is sent. The proxy makes them itself."""


def is_token(text: str) -> bool:
    """
    Check whether *text* can be a method or the name of a header field.
    """
    return _TOKEN.fullmatch(text) is not None


def is_header_value(text: str) -> bool:
    """
    Check whether *text* can be the value of a header field: one line of Latin-1.
    """
    return _VALUE.fullmatch(text) is not None


def check_header(name: object, value: object, refused: frozenset[str] = FRAMING) -> None:
    """
    Check one header field of a response.

    Args:
        name, value: the field.
        refused: names in lower case that are not accepted.

    Raises:
        ValueError: the field cannot be sent. The text says why.
    """
    if not isinstance(name, str) or not is_token(name):
        raise ValueError(f"{_short(name)} is not a valid header name")
    if not isinstance(value, str) or not is_header_value(value):
        raise ValueError(
            f"{_short(value)} is not a valid value of the header {name}: use one line of text"
        )
    if name.lower() in refused:
        raise ValueError(f"the header {name} describes one transfer, and the proxy sets it itself")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
