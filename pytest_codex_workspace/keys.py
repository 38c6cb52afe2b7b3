"""Content keys: what an image was made from, as one short text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

__all__ = ["FORMAT", "key_of"]

FORMAT = 1
"""Raised when the way layers are made changes, so that older ones are not used."""


def key_of(parts: Mapping[str, object]) -> str:
    """
    A key of 24 hexadecimal digits over *parts* and the format version.

    Equal parts give equal keys on every machine; names and values cannot run
    into each other.
    """
    text = json.dumps({"format": FORMAT, **parts}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:24]
