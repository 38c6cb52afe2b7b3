"""`codex-workspace shell`: a shell in a repository's workspace."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import add_command
from .conversation import FROM, HINT, SHELL, add_workspace, in_workspace, own_streams

if TYPE_CHECKING:
    from .common import Commands

__all__ = ["register"]

_SHELL = f"""\
Start a bash login shell in a workspace of the repository, with the network of
tests (--network). On a terminal it is an interactive one; otherwise it runs
the commands that it reads. The workspace is removed when the shell ends, and
nothing of it is kept. The exit code is the shell's.

{FROM}
  codex-workspace shell
  codex-workspace shell ../other --from=clean --image=slim
  codex-workspace shell --network=offline
  echo 'node --version' | codex-workspace shell --output=quiet
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "shell", "a shell in a workspace", _SHELL, _shell)
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
