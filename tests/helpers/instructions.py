"""Dockerfile instructions as text, for `Engine.import_image`, which takes nothing better."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def label_changes(labels: Mapping[str, str]) -> list[str]:
    """
    Return `LABEL` instructions that set *labels*.

    Raises:
        ValueError: a name or value has a line break, which an instruction cannot contain.

    Example:
        >>> label_changes({"note": 'say "hi" for $5'})
        ['LABEL "note"="say \\\\"hi\\\\" for \\\\$5"']
    """
    return [f"LABEL {_quoted(name)}={_quoted(value)}" for name, value in labels.items()]


def _quoted(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError(f"a label set by an instruction cannot have a line break: {text!r}")
    for special in ("\\", '"', "$"):
        text = text.replace(special, "\\" + special)
    return f'"{text}"'
