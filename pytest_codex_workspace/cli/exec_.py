"""`codex-workspace exec`: run one command in a workspace."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .attach import FROM, add_diff, add_workspace, in_workspace, own_streams
from .exit_codes import EXIT_CODES
from .options import add_command

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register", "split_arguments"]

SUMMARY = "run a command in a workspace"

_NAME = "exec"
_SEPARATOR = "--"

_EXEC = f"""\
Run a command in a workspace of the repository.

A single word is passed to a shell; several words are a program and its
arguments. Both run in the environment of a bash login shell, as in Codex, and
with the network policy of tests (--network).

Standard output and standard error of the command stay separate. Messages of
codex-workspace go to standard error; --output=quiet hides them. The command
reads standard input unless that is a terminal. With --tty, it runs on a
terminal of its own. With --diff, the files that git does not ignore and that
differ from the commit are listed at the end.

{FROM}
{EXIT_CODES}
Examples:
  codex-workspace exec -- npm test
  codex-workspace exec ../other --image=slim -- 'make && make test'
  codex-workspace exec --from=clean -- git status --ignored
  tar c data | codex-workspace exec -- tar x -C /tmp
  codex-workspace exec --tty -- vim README.md
  codex-workspace exec --diff -- npm run format
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, _NAME, SUMMARY, _EXEC, _exec, "[REPO] -- CMD [ARG ...]")
    parser.set_defaults(parser=parser)
    add_workspace(parser)
    add_diff(parser)
    parser.add_argument("astray", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("-t", "--tty", action="store_true", help="run the command on a terminal")


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """
    Split *argv* into our arguments and the command to run, which follows `--`.

    argparse would use the command's first word as `REPO`, and its options as ours.
    """
    words = list(argv)
    if words[:1] != [_NAME] or _SEPARATOR not in words:
        return words, None
    at = words.index(_SEPARATOR)
    return words[:at], words[at + 1 :]


def _exec(arguments: argparse.Namespace) -> int:
    if arguments.astray or not arguments.command:
        arguments.parser.error("give the command to run after `--`")
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
