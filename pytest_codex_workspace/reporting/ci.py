"""What a CI service shows of a run, beside its log: the seam to each service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from .output import Output, OutputMode

__all__ = ["VARIABLES", "CiFinding", "CiService", "RunAccount", "Write", "service_of"]

Write = Callable[[str], None]
"""Writes one line without its line end."""

VARIABLES = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "GITLAB_CI")
"""The variables by which services are recognised."""


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
    What is told of a run at its end. All of it may be text of a workspace.

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


class CiService:
    """
    No service: a terminal, or a log that nobody interprets. The services override what they do
    in another way.
    """

    def output(self, mode: OutputMode, write: Write) -> Output:
        """
        Return the output for progress that is not on a terminal.
        """
        return Output(mode, write)

    def among_others(self) -> CiService:
        """
        Return the service for one of several processes that write into the same log.
        """
        return self

    def neutral(self, text: str) -> str:
        """
        Return *text* without commands to the service, for text of a workspace.
        """
        return text

    @contextmanager
    def held(self, write: Write) -> Iterator[None]:
        """
        Let others write text of a workspace: the service follows no command meanwhile.

        Args:
            write: writes a line of ours to the service.
        """
        del write
        yield

    def tell(self, account: RunAccount, write: Write, redact: Callable[[str], str]) -> None:
        """
        Show an account of a run that has ended.

        Args:
            account: the account.
            write: writes a line of ours to the service.
            redact: removes secrets from text.
        """


def service_of(environ: Mapping[str, str]) -> CiService:
    """
    Return the service whose variables are set.
    """
    if environ.get("GITHUB_ACTIONS") == "true" or environ.get("GITHUB_STEP_SUMMARY"):
        from .github import GitHub

        return GitHub(environ)
    if environ.get("GITLAB_CI"):
        from .gitlab import GitLab

        return GitLab()
    return CiService()
