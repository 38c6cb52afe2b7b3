"""What a CI service shows of a run besides its log: the interface to each service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from .output import Output, OutputMode

if TYPE_CHECKING:
    from .account import RunAccount

__all__ = ["VARIABLES", "CiService", "Write", "service_of"]

Write = Callable[[str], None]
"""Writes one line without its line end."""

VARIABLES = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "GITLAB_CI")
"""The variables by which services are recognised."""


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
