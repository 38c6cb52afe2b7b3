"""What the commands share: parsers, the options of pytest under shorter names, printing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ..config import OPTIONS, Config, OutputMode

if TYPE_CHECKING:
    from ..output import Output

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = [
    "RUN_OPTIONS",
    "add_command",
    "add_engine",
    "add_group",
    "add_json",
    "add_options",
    "add_repo",
    "config_of",
    "engine_of",
    "finish",
    "output_of",
    "output_on",
    "show",
    "show_removed",
    "tell_event",
]

RUN_OPTIONS = (
    "rev",
    "repo-config",
    "image",
    "env",
    "secret",
    "cache",
    "cache-ttl",
    "cache-size",
    "cache-registry",
    "cache-push",
    "network",
    "network-setup",
    "cassette",
    "engine",
    "output",
    "setup-timeout",
    "upstream-proxy",
)
"""The options of commands that bring a repository up."""


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    description: str,
    action: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """
    A parser for the command *name*, which *action* carries out.

    Args:
        summary: for the list of commands.
        description: for its own help; kept as it is written.
    """
    form: Any = argparse.RawDescriptionHelpFormatter
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, formatter_class=form
    )
    parser.set_defaults(action=action)
    return parser


def add_group(commands: Commands, name: str, summary: str, description: str) -> Commands:
    """
    A parser for the command *name*, which has commands below it.

    Args:
        summary: for the list of commands.
        description: for its own help; kept as it is written.
    """
    form: Any = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=summary, description=description, formatter_class=form)
    below: Commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    return below


def add_repo(parser: argparse.ArgumentParser) -> None:
    """
    The argument `REPO`.
    """
    default = os.environ.get("CODEX_WORKSPACE_REPO") or "."
    parser.add_argument("repo", nargs="?", default=default, metavar="REPO", help="default: here")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """
    The option `--engine`, for commands that need nothing else.
    """
    add_options(parser, ("engine",))


def add_json(parser: argparse.ArgumentParser) -> None:
    """
    The option `--json`, for commands whose story programs may want.
    """
    parser.add_argument(
        "--json", dest="events", action="store_true", help="print one JSON object a line"
    )


def add_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """
    Options of pytest, without their `codex-`.
    """
    for option in OPTIONS:
        if option.name in names:
            text = option.help + (f" (default: {option.default})" if option.default else "")
            parser.add_argument(
                f"--{option.name}",
                dest=option.key,
                metavar=option.metavar,
                action="append" if option.repeatable else "store",
                help=text,
            )


def config_of(arguments: argparse.Namespace, **fixed: Any) -> Config:
    """
    What the command's options, the environment and the file of `REPO` say.

    Args:
        fixed: options that the command itself decides, by their keys.

    Raises:
        ConfigError: a value cannot be meant.
        PolicyError: a network policy cannot be used.
    """
    from ..settings import Settings

    return Settings.of({**vars(arguments), **fixed}, spell="--{}").config


def engine_of(arguments: argparse.Namespace) -> str:
    """
    The container engine, for commands that have no repository.
    """
    from ..settings import Settings

    return Settings.of({"engine": arguments.engine}, spell="--{}").config.engine


def show(line: str) -> None:
    """
    Print one line at once.
    """
    print(line, flush=True)  # noqa: T201


def output_of(arguments: argparse.Namespace, mode: OutputMode) -> Output:
    """
    What tells of long steps on standard output: events with `--json`.
    """
    if not getattr(arguments, "events", False):
        return output_on(sys.stdout, mode)
    from ..events import EventOutput

    return EventOutput(mode, show)


def output_on(stream: TextIO, mode: OutputMode) -> Output:
    """
    What tells people of long steps there: lines, and on a terminal one that is rewritten.
    """
    from ..output import Output
    from ..progressline import TerminalOutput, is_terminal

    if is_terminal(stream):
        return TerminalOutput(mode, stream)
    return Output(mode, lambda line: print(line, file=stream, flush=True))


def tell_event(arguments: argparse.Namespace, event: str, **fields: Any) -> bool:
    """
    Print an event, with `--json`.

    Returns:
        Whether it was printed; if not, it is to be told to people.
    """
    if not getattr(arguments, "events", False):
        return False
    from ..events import event_line

    show(event_line(event, **fields))
    return True


def show_removed(
    arguments: argparse.Namespace, removed: Sequence[str], what: str, nothing: str
) -> int:
    """
    Tell what a command removed, one object a line, and end it.

    Args:
        what: what the objects are, behind their number.
        nothing: what to say if there were none.
    """
    for line in removed:
        if not tell_event(arguments, "removed", object=line):
            show(f"removed {line}")
    if not arguments.events:
        show(f"removed {len(removed)} {what}" if removed else nothing)
    return finish(arguments, 0, removed=len(removed))


def finish(arguments: argparse.Namespace, exit_code: int, **facts: Any) -> int:
    """
    The last event, with `--json`.

    Returns:
        The exit code.
    """
    tell_event(arguments, "result", exit_code=exit_code, **facts)
    return exit_code
