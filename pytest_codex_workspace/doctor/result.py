"""What a check returns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import CodexWorkspaceError, ProjectionError

__all__ = [
    "Finding",
    "Result",
    "Status",
    "advised",
    "counted",
    "error",
    "ok",
    "some",
    "warning",
]

Status = Literal["ok", "warning", "error"]
"""`warning`: a workspace comes up, and something about it may surprise; `error`: none comes up."""

_SHOWN = 5

_OF_OTHERS = re.compile(r"git \S* ?failed: |.* cannot be a repository: ")
"""What follows the colon are the words of git or of the system, and no advice."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    What one check found.

    Attributes:
        status: how bad it is.
        text: what was found.
        remedy: what to do about it; empty where it is `ok`.
    """

    status: Status
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A result with the check's name and group.
    """

    group: str
    check: str
    result: Result

    def to_dict(self) -> dict[str, str]:
        """
        Plain data, fit for JSON.
        """
        result = self.result
        return {
            "group": self.group,
            "check": self.check,
            "status": result.status,
            "text": result.text,
            "remedy": result.remedy,
        }


def ok(text: str) -> Result:
    """
    All is well.
    """
    return Result("ok", text)


def warning(text: str, remedy: str) -> Result:
    """
    It works, with a surprise.
    """
    return Result("warning", text, remedy)


def error(text: str, remedy: str) -> Result:
    """
    It does not work.
    """
    return Result("error", text, remedy)


def advised(problem: CodexWorkspaceError) -> Result:
    """
    One of our errors, parted into what happened and what to do.
    """
    words = str(problem).replace("--codex-", "--")
    if _OF_OTHERS.match(words):
        text = remedy = ""
    elif isinstance(problem, ProjectionError):
        text, _, remedy = words.partition(": ")
    elif "\n" in words:
        text, _, remedy = words.rpartition("\n")
    else:
        text, _, remedy = words.rpartition("; ")
    if not text or not remedy:
        return error(
            words, "Mend what it names; `codex-workspace run` meets the same, and may tell more."
        )
    # A command is written as it is typed.
    return error(text, remedy if remedy.startswith("git ") else remedy[0].upper() + remedy[1:])


def counted(number: int, noun: str) -> str:
    """
    How many of something there are.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def some(names: Sequence[str]) -> str:
    """
    The first of *names*, and how many more there are.
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
