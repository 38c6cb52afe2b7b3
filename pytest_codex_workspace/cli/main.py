"""The command line as a whole: the parser, errors and exit codes."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import ModuleType
from typing import NoReturn

from ..errors import CodexWorkspaceError, SetupError
from ..text.phrases import did_you_mean
from . import (
    build,
    ca,
    cache,
    cassette,
    clean,
    completion,
    compose,
    config,
    doctor,
    exec_,
    policy,
    run,
    shell,
    smoke,
)
from .printing import print_event, show
from .table import table

__all__ = ["command_parser", "main"]

_GROUPS = {
    "Start a workspace": (run, shell, exec_),
    "Inspect": (doctor, smoke, config, policy),
    "Images and cache": (build, cache, cassette, ca, clean),
    "Other": (compose, completion),
}

_DESCRIPTION = """\
Run repositories in workspaces like those of OpenAI Codex: a container made from
HEAD, a setup script, a cached image, and a proxy as the only connection to the
outside.

In a repository, start with `codex-workspace doctor`, which reports problems of
this machine, and then `codex-workspace run`. The first run builds images, which
takes minutes. --image=slim does not need a container registry.
"""

_OPTIONS = (
    ("-h, --help", "show this help message and exit"),
    ("--version", "print the version and exit"),
)

_EPILOG = "`codex-workspace COMMAND --help` shows the options of a command, and examples.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code.
    """
    words, command = exec_.split_arguments(sys.argv[1:] if argv is None else argv)
    parser = command_parser()
    if not words:
        parser.print_help(sys.stderr)
        return 2
    names = [_name(module) for modules in _GROUPS.values() for module in modules]
    if words and not words[0].startswith("-") and words[0] not in names:
        hint = did_you_mean(words[0], names) or f"; commands: {', '.join(names)}"
        parser.error(f"unknown command {words[0]!r}{hint}")
    arguments = parser.parse_args(words, argparse.Namespace(command=command))
    signal.signal(signal.SIGTERM, _interrupt)
    # `nohup` has SIGHUP ignored, so that the command outlives its terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code: int = arguments.action(arguments)
    except SetupError as error:
        return _fail(arguments, error, error.exit_code or 1)
    except CodexWorkspaceError as error:
        return _fail(arguments, error, 2)
    except BrokenPipeError:
        _discard_output()
        return 141
    except KeyboardInterrupt:
        with suppress(OSError):  # The terminal may have hung up.
            print_event(
                arguments, "error", type="Interrupted", message="interrupted", exit_code=130
            )
            print("codex-workspace: interrupted", file=sys.stderr)  # noqa: T201
        _discard_output()
        return 130
    return code


def command_parser() -> argparse.ArgumentParser:
    """
    Return the parser of the command with all its subcommands.
    """
    parser = _MainParser(prog="codex-workspace", usage="%(prog)s [-h] [--version] COMMAND ...")
    parser.add_argument("--version", action=_Version, help=_OPTIONS[1][1])
    commands = parser.add_subparsers(
        prog=parser.prog,
        metavar="COMMAND",
        required=True,
        parser_class=argparse.ArgumentParser,
    )
    for modules in _GROUPS.values():
        for module in modules:
            module.register(commands)
    return parser


class _MainParser(argparse.ArgumentParser):
    """
    A parser whose help has the commands in groups, which argparse does not support.
    """

    def format_help(self) -> str:
        return "\n".join([self.format_usage(), _DESCRIPTION, *_help_groups(), _EPILOG])


def _help_groups() -> Iterator[str]:
    commands = [
        (_name(module), module.SUMMARY) for modules in _GROUPS.values() for module in modules
    ]
    lines = dict(zip(commands, table(commands, indent=2), strict=True))
    for title, modules in _GROUPS.items():
        listed = [lines[_name(module), module.SUMMARY] for module in modules]
        yield "\n".join([f"{title}:", *listed, ""])
    yield "\n".join(["Options:", *table(_OPTIONS, indent=2), ""])


def _name(module: ModuleType) -> str:
    """
    Return the command of a module, which has the same name.
    """
    return module.__name__.rpartition(".")[2].rstrip("_")


class _Version(argparse.Action):
    """
    Print the version, which is only looked up on demand because that is slow.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        show(f"codex-workspace {version('pytest-codex-workspace')}")
        parser.exit()


def _fail(arguments: argparse.Namespace, error: Exception, exit_code: int) -> int:
    kind = type(error).__name__
    print(f"codex-workspace: {kind}: {error}", file=sys.stderr)  # noqa: T201
    fields = {}
    if isinstance(error, SetupError):
        fields = {"script": error.script, "log_path": error.log_path, "tail": error.tail}
    print_event(arguments, "error", type=kind, message=str(error), exit_code=exit_code, **fields)
    return exit_code


def _discard_output() -> None:
    """
    Discard output that a closed pipe or terminal does not accept. Python would try
    again when it exits, fail, and exit with code 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _interrupt(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
    # When a terminal hangs up, both the kernel and the shell send SIGHUP; one is enough.
    signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt
