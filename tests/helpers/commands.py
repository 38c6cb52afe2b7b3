"""The commands and options of `codex-workspace`, as its help lists them."""

from __future__ import annotations

import contextlib
import io
import re

from pytest_codex_workspace.cli.main import main

__all__ = ["all_commands", "help_of", "options_of"]


def help_of(*path: str) -> str:
    """
    Return the help of a command.
    """
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([*path, "--help"])
    return printed.getvalue()


def all_commands() -> list[tuple[str, ...]]:
    """
    Return the words of each command, with those that have subcommands.
    """
    paths: list[tuple[str, ...]] = []
    for name in re.findall(r"^  (\w[\w-]*) +\w", help_of(), re.MULTILINE):
        _, _, listed = help_of(name).partition("\n  COMMAND\n")
        paths += [(name,), *((name, word) for word in re.findall(r"^    (\w+) ", listed, re.M))]
    return paths


def options_of(*path: str) -> list[str]:
    """
    Return the long options of a command.
    """
    return re.findall(r"^  (?:-\w, )?(--[\w-]+)", help_of(*path), re.MULTILINE)
