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
from . import cache, cassette, clean, compose, config, doctor, execute, policy, run, shell, smoke

__all__ = ["main"]

_COMMANDS = (run, shell, execute, doctor, smoke, config, cache, cassette, policy, compose, clean)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code.
    """
    words, command = execute.divide(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words, argparse.Namespace(command=command))
    signal.signal(signal.SIGTERM, _interrupt)
    # Whoever is to outlive its terminal has it ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code: int = arguments.action(arguments)
    except SetupError as error:
        _complain(error)
        return error.exit_code or 1
    except (CodexWorkspaceError, ConfigError) as error:
        _complain(error)
        return 2
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        with suppress(OSError):  # a terminal that has hung up
            print("codex-workspace: interrupted", file=sys.stderr)  # noqa: T201
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codex-workspace", description="Bring repositories up as OpenAI Codex would."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.register(commands)
    return parser


def _complain(error: Exception) -> None:
    print(f"codex-workspace: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


def _interrupt(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
    # Once is enough: of a terminal that hangs up, the kernel tells us and the shell does again.
    signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt
