"""The command `codex-workspace`: a module for each of its commands."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from ..config import ConfigError
from ..errors import CodexWorkspaceError, SetupError
from . import (
    build,
    cache,
    cassette,
    clean,
    completion,
    compose,
    config,
    doctor,
    execute,
    policy,
    run,
    shell,
    smoke,
)
from .common import show, tell_event

__all__ = ["command_parser", "main"]

_GROUPS = {
    "bring a repository up": (run, shell, execute),
    "see what is and what would be": (doctor, smoke, config, policy),
    "what is made once and kept": (build, cache, cassette, clean),
    "elsewhere": (compose, completion),
}

_HELP = """\
Bring repositories up as OpenAI Codex would: a container made from HEAD, a setup
script, a cached image, and a proxy as the only way out.

Begin in your repository with `codex-workspace doctor`, which says what is in
the way, and then `codex-workspace run`. The first run builds images, which
takes minutes; --image=slim needs no container registry.
"""

_EPILOG = """`codex-workspace COMMAND --help` has the options of a command, and examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code.
    """
    words, command = execute.divide(sys.argv[1:] if argv is None else argv)
    arguments = command_parser().parse_args(words, argparse.Namespace(command=command))
    signal.signal(signal.SIGTERM, _interrupt)
    # Whoever is to outlive its terminal has it ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code: int = arguments.action(arguments)
    except SetupError as error:
        return _complain(arguments, error, error.exit_code or 1)
    except (CodexWorkspaceError, ConfigError) as error:
        return _complain(arguments, error, 2)
    except BrokenPipeError:
        _discard_output()
        return 141
    except KeyboardInterrupt:
        with suppress(OSError):  # a terminal that has hung up
            tell_event(arguments, "error", type="Interrupted", message="interrupted", exit_code=130)
            print("codex-workspace: interrupted", file=sys.stderr)  # noqa: T201
        _discard_output()
        return 130
    return code


def command_parser() -> argparse.ArgumentParser:
    """
    The parser of the whole command.
    """
    parser = argparse.ArgumentParser(
        prog="codex-workspace", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    # The list of commands that argparse would make has no groups.
    commands = parser.add_subparsers(metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    parser.usage = "%(prog)s [-h] [--version] COMMAND ..."
    groups = [_HELP]
    for title, modules in _GROUPS.items():
        before = len(commands._choices_actions)
        for module in modules:
            module.register(commands)
        listed = commands._choices_actions[before:]
        lines = [f"  {one.dest:<12}{one.help}" for one in listed]
        groups.append("\n".join([f"{title}:", *lines]) + "\n")
    parser.description = "\n".join(groups)
    return parser


class _Version(argparse.Action):
    """
    Looks the version up when it is asked for: that takes longer than the parser.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        show(f"codex-workspace {version('pytest-codex-workspace')}")
        parser.exit()


def _complain(arguments: argparse.Namespace, error: Exception, exit_code: int) -> int:
    kind = type(error).__name__
    print(f"codex-workspace: {kind}: {error}", file=sys.stderr)  # noqa: T201
    facts = {}
    if isinstance(error, SetupError):
        facts = {"script": error.script, "log_path": error.log_path, "tail": error.tail}
    tell_event(arguments, "error", type=kind, message=str(error), exit_code=exit_code, **facts)
    return exit_code


def _discard_output() -> None:
    """
    Discard output that a closed pipe or terminal does not take. Python would try again when it
    exits, fail, and exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _interrupt(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
    # Once is enough: of a terminal that hangs up, the kernel tells us and the shell does again.
    signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt
