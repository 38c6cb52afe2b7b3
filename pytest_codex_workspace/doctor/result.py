"""The result of a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import CodexWorkspaceError
from ..text.phrases import first_of

__all__ = ["NamedResult", "Result", "Status", "error", "from_error", "ok", "some", "warning"]

Status = Literal["ok", "warning", "error"]
"""`warning`: a workspace starts, but something may surprise; `error`: no workspace starts."""

_SHOWN = 5

_NO_REMEDY = "Fix the cause named above; `codex-workspace run` may print more about it."


@dataclass(frozen=True, slots=True)
class Result:
    """
    What one check found.

    Attributes:
        status: how bad it is.
        text: what was found.
        remedy: what to do about it; empty if the status is `ok`.
    """

    status: Status
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class NamedResult:
    """
    A result with the name and the group of its check.
    """

    group: str
    check: str
    result: Result

    def to_dict(self) -> dict[str, str]:
        """
        Return the finding as plain data for JSON.
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
    Return the result of a check that passed.
    """
    return Result("ok", text)


def warning(text: str, remedy: str) -> Result:
    """
    Return the result for something that works, but may surprise.
    """
    return Result("warning", text, remedy)


def error(text: str, remedy: str) -> Result:
    """
    Return the result for something that keeps a workspace from starting.
    """
    return Result("error", text, remedy)


def from_error(problem: CodexWorkspaceError) -> Result:
    """
    Return the result for one of our errors.
    """
    return error(problem.message, problem.remedy or _NO_REMEDY)


def some(names: Sequence[str]) -> str:
    """
    Return the first of *names*, and how many more there are.
    """
    return first_of(names, _SHOWN)
