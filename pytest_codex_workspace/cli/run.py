"""`codex-workspace run`: the whole chain for one repository."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import RUN_OPTIONS, add_command, add_options, add_repo, config_of, show

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

The exit code is that of the script that failed, 0 if all went well, 2 if
something else is wrong.
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "run", "the whole chain for a repository", _RUN, _run)
    add_repo(parser)
    add_options(parser, RUN_OPTIONS)


def bring_up(config: Config) -> int:
    """
    Bring the repository of *config* up, and say what came of it.
    """
    from ..output import Output
    from ..session import Session

    session = Session(config, Output(config.output, show))
    try:
        return _chain(session, config)
    finally:
        session.close()


def _run(arguments: argparse.Namespace) -> int:
    return bring_up(config_of(arguments))


def _chain(session: Session, config: Config) -> int:
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    snapshot = session.repository(config.repo, config.rev)
    workspace = session.workspace(session.order(snapshot, config.env), "ready")
    setup = workspace.setup
    told = {
        "hit": "the cached setup was used",
        "miss": "setup ran and is cached now",
        "off": "setup ran; the cache is off",
        "none": "there is no codex-workspace-scripts/, so nothing to set up",
    }
    session.output.note(f"{workspace.project} at {workspace.head[:12]} is up: {told[setup.cache]}")
    for request in workspace.network.blocked:
        session.output.note(f"blocked: {request}")
    session.stop(workspace)
    return 0
