"""`codex-workspace shell`: open a shell in a workspace."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .attach import FROM, HINT, SHELL, add_workspace, in_workspace, own_streams
from .exit_codes import EXIT_CODES
from .options import add_command

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "open a shell in a workspace"

_SHELL = f"""\
Open a bash login shell in a workspace of the repository.

On a terminal the shell is interactive; otherwise it reads commands from
standard input. It has the network policy of tests (--network). The workspace is
removed when the shell exits.

{FROM}
{EXIT_CODES}
Examples:
  codex-workspace shell
  codex-workspace shell ../other --from=clean --image=slim
  codex-workspace shell --network=offline
  echo 'node --version' | codex-workspace shell --output=quiet
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "shell", SUMMARY, _SHELL, _shell, "[REPO]")
    add_workspace(parser)


def _shell(arguments: argparse.Namespace) -> int:
    streams = own_streams()
    return in_workspace(
        arguments,
        SHELL,
        streams,
        terminal=streams.interactive,
        hint=HINT if streams.interactive else "",
    )
