"""`codex-workspace run`: the whole chain for one repository."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import RUN_OPTIONS, add_command, add_options, add_repo, config_of, show
from .conversation import HINT, SHELL, converse, describe, own_streams

if TYPE_CHECKING:
    from ..config import Config
    from ..session import Session
    from .common import Commands

__all__ = ["bring_up", "register"]

_RUN = """\
Bring a repository up as Codex would: build the workspace image if it is
missing, start the proxy, project the commit, run
codex-workspace-scripts/setup-script.sh, keep the result as an image, start a
second workspace from it and run setup-from-cache-script.sh there.

A repository without codex-workspace-scripts/ has nothing to run: on a
terminal, a bash login shell in its workspace follows, unless --no-shell is
given. `codex-workspace shell` gives one for any repository.

The exit code is that of the script that failed, or of the shell; 0 if all
went well, 2 if something else is wrong.

  codex-workspace run
  codex-workspace run ../other --image=slim --cache=refresh
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "run", "the whole chain for a repository", _RUN, _run)
    add_repo(parser)
    add_options(parser, RUN_OPTIONS)
    parser.add_argument(
        "--no-shell", action="store_true", help="end without a shell, on a terminal too"
    )


def bring_up(config: Config, *, shell: bool = False) -> int:
    """
    Bring the repository of *config* up, and say what came of it. With
    *shell*, somebody at a terminal gets one if there is nothing to run.
    """
    from ..output import Output
    from ..session import Session

    session = Session(config, Output(config.output, show))
    try:
        return _chain(session, config, shell=shell)
    finally:
        session.close()


def _run(arguments: argparse.Namespace) -> int:
    return bring_up(config_of(arguments), shell=not arguments.no_shell)


def _chain(session: Session, config: Config, *, shell: bool) -> int:
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    snapshot = session.repository(config.repo, config.rev)
    workspace = session.workspace(session.order(snapshot, config.env), "ready")
    session.output.note(describe(workspace))
    code = 0
    streams = own_streams()
    if shell and workspace.setup.cache == "none" and streams.interactive:
        session.output.note(HINT)
        code = converse(workspace, SHELL, streams, terminal=True)
    for request in workspace.network.blocked:
        session.output.note(f"blocked: {request}")
    session.stop(workspace)
    return code
