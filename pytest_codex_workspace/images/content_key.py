"""Content keys: short digests of the inputs of an image, and the differences between two."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

__all__ = ["FORMAT", "Hidden", "differing", "fingerprint", "key_of"]

FORMAT = 3
"""Increased when layers are made in another way, so that older layers are not used."""


class Hidden(str):
    """
    A part of a key that fingerprints omit.
    """

    __slots__ = ()


def key_of(parts: Mapping[str, object]) -> str:
    """
    Return a key of 24 hexadecimal digits over *parts* and the format version.

    Equal parts give equal keys on every machine. The encoding is unambiguous, so
    different parts have different keys.
    """
    return _digest({"format": FORMAT, **parts})[:24]


def fingerprint(parts: Mapping[str, object]) -> dict[str, str]:
    """
    Return each of *parts* as text: short texts unchanged, and digests of longer values
    and of values in mappings. So the label of an image shows the inputs, but not
    the values of variables. Secrets are omitted.

    Example:
        >>> fingerprint({"name": "demo", "environment": {"A": "1"}})
        {'format': '3', 'name': 'demo', 'environment.A': '6b86b273ff34'}
    """
    return dict(_flat({"format": FORMAT, **parts}))


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """
    Return the names of the parts in which two fingerprints differ, each with
    `added`, `removed` or `changed`.
    """
    names = sorted({*old, *new})
    return {
        name: "added" if name not in old else "removed" if name not in new else "changed"
        for name in names
        if old.get(name) != new.get(name)
    }


def _flat(parts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in parts.items():
        if isinstance(value, Hidden):
            continue
        if isinstance(value, Mapping):
            for below, inner in value.items():
                text = inner if isinstance(inner, str) else _json(inner)
                yield f"{name}.{below}", hashlib.sha256(text.encode()).hexdigest()[:12]
        else:
            text = value if isinstance(value, str) else _json(value)
            yield name, text if len(text) <= 64 else _digest(value)[:12]


def _digest(value: object) -> str:
    return hashlib.sha256(_json(value).encode("ascii")).hexdigest()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True)
