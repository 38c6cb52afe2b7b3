"""`codex-workspace exec`: one command in a repository's workspace."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .common import add_command
from .conversation import FROM, add_workspace, in_workspace, own_streams

if TYPE_CHECKING:
    from .common import Commands

__all__ = ["divide", "register"]

_NAME = "exec"
_MARK = "--"

_EXEC = f"""\
Run one command in a workspace of the repository, with the network of tests
(--network). A single word is a text for a shell; several are a program and
its arguments. Either has the environment of a bash login shell, as in Codex.

Its output and errors come as it prints them, apart from each other; what else
there is to say goes to standard error, and --output=quiet leaves it out. It
reads standard input, unless that is a terminal. With --tty it runs on a
terminal, with colours and keys. The exit code is the command's.

{FROM}
  codex-workspace exec -- npm test
  codex-workspace exec ../other --image=slim -- 'make && make test'
  codex-workspace exec --from=clean -- git status --ignored
  tar c data | codex-workspace exec -- tar x -C /tmp
  codex-workspace exec --tty -- vim README.md
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, _NAME, "one command in a workspace", _EXEC, _execute)
    parser.usage = "%(prog)s [REPO] [OPTION ...] -- CMD [ARG ...]"
    parser.set_defaults(parser=parser)
    add_workspace(parser)
    parser.add_argument("astray", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("-t", "--tty", action="store_true", help="run it on a terminal")


def divide(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """
    What is for us of *argv*, and what is the command to run: argparse would
    take its first word for `REPO`, and its options for ours.
    """
    words = list(argv)
    if words[:1] != [_NAME] or _MARK not in words:
        return words, None
    mark = words.index(_MARK)
    return words[:mark], words[mark + 1 :]


def _execute(arguments: argparse.Namespace) -> int:
    if arguments.astray or not arguments.command:
        arguments.parser.error("the command to run is missing: it comes after `--`")
    streams = own_streams()
    if not arguments.tty and streams.stdin is not None and os.isatty(streams.stdin):
        streams = replace(streams, stdin=None)
    return in_workspace(
        arguments, _in_login_shell(arguments.command), streams, terminal=arguments.tty
    )


def _in_login_shell(words: Sequence[str]) -> list[str]:
    if len(words) == 1:
        return ["bash", "-lc", words[0]]
    return ["bash", "-lc", 'exec "$@"', "bash", *words]
