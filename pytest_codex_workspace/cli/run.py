"""`codex-workspace run`: the whole chain for one repository."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .common import (
    RUN_OPTIONS,
    add_command,
    add_json,
    add_options,
    add_repo,
    config_of,
    finish,
    output_of,
    output_on,
)
from .conversation import HINT, SHELL, converse, describe, own_streams

if TYPE_CHECKING:
    from ..config import Config
    from ..output import Output
    from ..session import Session
    from ..workspace import Workspace
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
went well, 2 if something else is wrong. With --json there is no shell.

  codex-workspace run
  codex-workspace run ../other --image=slim --cache=refresh
  codex-workspace run --network=offline --env=CODEX_ENV_NODE_VERSION=22
  codex-workspace run --json | jq 'select(.event == "result")'
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "run", "the whole chain for a repository", _RUN, _run)
    add_repo(parser)
    add_options(parser, RUN_OPTIONS)
    add_json(parser)
    parser.add_argument(
        "--no-shell", action="store_true", help="end without a shell, on a terminal too"
    )


def bring_up(config: Config) -> int:
    """
    Bring the repository of *config* up, and say what came of it.
    """
    output = output_on(sys.stdout, config.output)
    return _session(config, output, lambda session, workspace: _told(session, workspace))


def _run(arguments: argparse.Namespace) -> int:
    config = config_of(arguments)
    facts: dict[str, Any] = {}

    def up(session: Session, workspace: Workspace) -> int:
        if arguments.events:
            facts.update(_facts(workspace))
            return 0
        return _told(session, workspace, shell=not arguments.no_shell)

    code = _session(config, output_of(arguments, config.output), up)
    return finish(arguments, code, **facts)


def _session(config: Config, output: Output, then: Callable[[Session, Workspace], int]) -> int:
    from ..session import Session

    assert config.repo is not None  # noqa: S101 -- argparse has a default
    with Session(config, output) as session:
        snapshot = session.repository(config.repo, config.rev)
        workspace = session.workspace(session.spec(snapshot, config.env), "ready")
        code = then(session, workspace)
        session.stop(workspace)
    return code


def _told(session: Session, workspace: Workspace, *, shell: bool = False) -> int:
    """
    Tell people. With *shell*, somebody at a terminal gets one if there is nothing to run.
    """
    session.output.note(describe(workspace))
    code = 0
    streams = own_streams()
    if shell and workspace.setup.cache == "none" and streams.interactive:
        session.output.note(HINT)
        code = converse(workspace, SHELL, streams, terminal=True)
    for request in workspace.network.blocked:
        session.output.note(f"blocked: {request}")
    return code


def _facts(workspace: Workspace) -> dict[str, Any]:
    """
    Tell programs.
    """
    from ..events import facts_of

    setup = workspace.setup
    return {
        "cache": setup.cache,
        "key": setup.key,
        "project": str(workspace.project),
        "head": workspace.head,
        "setup_duration": round(setup.duration, 3),
        "log_path": setup.log_path,
        "blocked": [facts_of(one) for one in workspace.network.blocked],
    }
