"""Asking a workspace about its files: a program is sent, and what it answers is not trusted."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Protocol

from ..text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LARGEST_NUMBER", "LONGEST_PATH", "Commands", "Said", "ask", "error_text"]

LONGEST_PATH = 4096
LARGEST_NUMBER = 1 << 62
"""What is believed of an answer."""

_SECONDS = 600.0
_ANSWER = 64 << 20


class Said(Protocol):
    """
    What a program has printed.
    """

    @property
    def ok(self) -> bool:
        """
        Whether its exit code is 0.
        """

    @property
    def exit_code(self) -> int:
        """
        Its exit code.
        """

    @property
    def stdout_bytes(self) -> bytes:
        """
        Its standard output.
        """

    @property
    def stderr(self) -> str:
        """
        Its standard error.
        """

    @property
    def truncated(self) -> bool:
        """
        Whether it printed more.
        """


class Commands(Protocol):
    """
    Runs programs in a workspace, as its channel does.
    """

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the channel's name
        timeout: float | None = None,
        limit: int = ...,
    ) -> Said:
        """
        Run a program to its end.
        """


def ask(
    commands: Commands,
    program: str,
    *words: str,
    stdin: str | None = None,
) -> Said:
    """
    Run a program of `in_container`, for ten minutes at most, up to 64 MiB of output.

    Args:
        commands: runs it.
        program: the name of its file.
        words: its arguments.
        stdin: its standard input.

    Raises:
        ExecTimeout: it takes longer.
    """
    text = (resources.files("pytest_codex_workspace.in_container") / program).read_text("utf-8")
    return commands.run(
        ["python3", "-I", "-B", "-c", text, *words],
        cwd="/",
        input=stdin,
        timeout=_SECONDS,
        limit=_ANSWER,
    )


def error_text(result: Said) -> str:
    """
    Return the end of what a program has printed on its standard error, for an error.
    """
    return printable(result.stderr.strip()[-1000:])
