"""The account of a run that a CI service gets at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CiFinding", "RunAccount"]


@dataclass(frozen=True, slots=True)
class CiFinding:
    """
    An error or a warning of a run.

    Attributes:
        level: `error` or `warning`.
        title: what it is about, in a few words.
        message: lines of text.
        file: path of the file that it is about, from the top of the service's checkout; empty
            if there is none.
        line: the line in that file; 0 if it is not known.
    """

    level: Literal["error", "warning"]
    title: str
    message: str
    file: str = ""
    line: int = 0


@dataclass(slots=True)
class RunAccount:
    """
    The result of a run, for a CI service. All of it may be text of a workspace.

    Attributes:
        title: the command, or what ran.
        facts: names and values.
        findings: errors and warnings.
        columns: the names of the columns of *rows*.
        rows: a table, the most important row first.
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    findings: list[CiFinding] = field(default_factory=list)
    columns: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
