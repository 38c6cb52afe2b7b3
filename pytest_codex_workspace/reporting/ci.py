"""What a CI service shows of a run besides its log: the interface to each service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Literal

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


class CiService:
    """
    No service: a terminal or a plain log. Subclasses override what a service does differently.

    Attributes:
        is_known: whether this is a service.
    """

    is_known: ClassVar[bool] = False

    def output(self, mode: OutputMode, write: Write) -> Output:
        """
        Return the output for progress that is not on a terminal.
        """
        return Output(mode, write)

    def for_worker(self) -> CiService:
        """
        Return the service for an xdist worker, which writes to the same log as others.
        """
        return self

    def neutral(self, text: str) -> str:
        """
        Return *text*, which may quote a workspace, without commands to the service.
        """
        return text

    @contextmanager
    def without_commands(self, write: Write) -> Iterator[None]:
        """
        Stop the service from following commands while others write text of a workspace.

        Args:
            write: writes a line of ours to the service.
        """
        del write
        yield

    def tell(self, account: RunAccount, write: Write, redact: Callable[[str], str]) -> None:
        """
        Show the account of a run that has ended.

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
