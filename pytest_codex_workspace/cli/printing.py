"""Output of the commands: lines for users, events for programs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ..reporting.output import OutputMode
from ..text.phrases import counted
from ..text.printable import printable

if TYPE_CHECKING:
    from ..errors import SetupError
    from ..network.rules.request import Request
    from ..reporting.output import Output

__all__ = [
    "finish",
    "output_of",
    "output_on",
    "print_event",
    "print_removed",
    "print_requests",
    "show",
    "show_message",
    "shown_on_stderr",
    "table",
]


_REQUESTS = 10_000
"""The most requests of a run that are printed as events."""


def show(line: str) -> None:
    """
    Print one line immediately, without control sequences: it may quote a workspace, an
    image, a registry or a repository.
    """
    print(printable(line), flush=True)  # noqa: T201 -- the one place for results


def show_message(text: str) -> None:
    """
    Print lines on standard error immediately, without control sequences, as `show` does.
    """
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201 -- the one place for messages


def output_of(arguments: argparse.Namespace, mode: OutputMode) -> Output:
    """
    Return the output for the progress of a command on standard output; with
    `--json`, progress is printed as events.
    """
    if not getattr(arguments, "json", False):
        return output_on(sys.stdout, mode)
    from ..reporting.events import EventOutput

    return EventOutput(mode, show)


def output_on(stream: TextIO, mode: OutputMode) -> Output:
    """
    Return the output for progress on *stream*: lines, and on a terminal also a
    status line that is rewritten. A CI service may get lines of its own.
    """
    from ..reporting.ci import service_of
    from ..reporting.terminal import TerminalOutput, is_terminal

    if is_terminal(stream):
        return TerminalOutput(mode, stream)
    service = service_of(os.environ)
    return service.output(mode, lambda line: print(line, file=stream, flush=True))


def print_event(arguments: argparse.Namespace, event: str, **fields: Any) -> bool:
    """
    Print an event, with `--json`.

    Returns:
        Whether it was printed; if not, the caller prints lines for users.
    """
    if not getattr(arguments, "json", False):
        return False
    from ..reporting.events import event_line

    show(event_line(event, **fields))
    return True


def print_requests(arguments: argparse.Namespace, requests: Sequence[Request]) -> int:
    """
    Print an event for each request, with `--json`: of very many, the first. A quiet command, with
    `arguments.quiet`, has none.

    Returns:
        How many were left out.
    """
    from ..reporting.events import facts_of

    if getattr(arguments, "quiet", False):
        return len(requests)
    for one in requests[:_REQUESTS] if getattr(arguments, "json", False) else ():
        facts = facts_of(one)
        print_event(arguments, "request", began=facts.pop("time"), **facts)
    return max(0, len(requests) - _REQUESTS)


def shown_on_stderr(arguments: argparse.Namespace, error: SetupError) -> bool:
    """
    Check whether the last lines of the script that failed are already where its error goes.
    """
    stream = sys.stderr if getattr(arguments, "progress_on_stderr", False) else sys.stdout
    if not error.shown or stream is sys.stderr:
        return error.shown
    try:
        return os.path.sameopenfile(stream.fileno(), sys.stderr.fileno())
    except OSError:
        return False


def print_removed(
    arguments: argparse.Namespace, removed: Sequence[str], noun: str, nothing: str
) -> int:
    """
    Print what a command removed, one object per line, and finish the command.

    Args:
        arguments: the parsed command line.
        removed: the names of the objects.
        noun: what the objects are, in the singular.
        nothing: the line to print if there are none.

    Returns:
        The exit code.
    """
    for name in removed:
        if not print_event(arguments, "removed", object=name):
            show(f"removed {name}")
    if not arguments.json:
        show(f"removed {counted(len(removed), noun)}" if removed else nothing)
    return finish(arguments, 0, removed=len(removed))


def finish(arguments: argparse.Namespace, exit_code: int, **fields: Any) -> int:
    """
    Print the last event, with `--json`, and return the exit code.
    """
    print_event(arguments, "result", exit_code=exit_code, **fields)
    return exit_code


def table(
    rows: Sequence[Sequence[str]], *, indent: int = 0, widest: int | None = None
) -> Iterator[str]:
    """
    Yield each row as a line, with columns aligned to the left.

    Args:
        rows: the cells; each row has the same number.
        indent: the number of spaces before each line.
        widest: the maximum width of a column. A longer cell moves the rest of its line.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if widest is not None:
        widths = [min(width, widest) for width in widths]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (" " * indent + "  ".join(cells)).rstrip()
