"""`codex-workspace run`: set up a repository in a workspace."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .attach import (
    HINT,
    SHELL,
    add_diff,
    attach,
    describe_workspace,
    list_changes,
    own_streams,
    report_changes,
    report_network,
)
from .ci import ci_run
from .exit_codes import EXIT_CODES
from .options import RUN_OPTIONS, add_command, add_json, add_options, add_repo, config_of
from .printing import finish, output_of, output_on, print_requests

if TYPE_CHECKING:
    from ..options.config import Config
    from ..reporting.output import Output
    from ..session import Session
    from ..workspace.handle import Workspace
    from .options import Commands

__all__ = ["SUMMARY", "register", "set_up"]

SUMMARY = "set up a repository in a workspace as Codex's"

_LABEL = "codex-workspace run"

_RUN = f"""\
Set up a repository in a workspace as Codex's.

The workspace image is built if it is missing, the proxy starts, the commit is
copied into a workspace, and codex-workspace-scripts/setup-script.sh runs there.
The result is saved as an image. A second workspace starts from that image and
runs setup-from-cache-script.sh, the maintenance script.

Codex itself reads no codex-workspace-scripts/: its setup script and its
maintenance script stand in the environment's settings. --setup-script and
--maintenance-script run such texts in their place. Codex's agent phase is
offline by default, and tests here are not: --profile=codex has Codex's rules.

If the repository has no codex-workspace-scripts/, a bash login shell opens in
the workspace, if this is a terminal and neither --no-shell nor --json is given.
`codex-workspace shell` opens a shell for any repository.

{EXIT_CODES}
Examples:
  codex-workspace run
  codex-workspace run ../other --image=slim --cache=refresh
  codex-workspace run --profile=codex --setup-script=setup.txt
  codex-workspace run --network=offline --env=CODEX_ENV_NODE_VERSION=22
  codex-workspace run --json | jq 'select(.event == "result")'
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "run", SUMMARY, _RUN, _run, "[REPO]")
    add_repo(parser)
    add_options(parser, (*RUN_OPTIONS, "report"))
    add_json(parser)
    add_diff(parser)
    parser.add_argument("--no-shell", action="store_true", help="never open a shell")


def set_up(config: Config) -> int:
    """
    Set up the repository of *config*, print the result, and return the exit code.
    """
    output = output_on(sys.stdout, config.output)
    _note_rules(config, output)
    return _session(config, output, _report)


def _run(arguments: argparse.Namespace) -> int:
    config = config_of(arguments, tell=False)
    arguments.quiet = config.output == "quiet"
    fields: dict[str, Any] = {}

    def up(session: Session, workspace: Workspace) -> int:
        code = 0
        if arguments.json:
            fields.update(_fields(arguments, workspace))
            if arguments.diff:
                fields["changes"] = _changes(session, workspace)
        else:
            code = _report(session, workspace, shell=not arguments.no_shell)
            if arguments.diff:
                report_changes(workspace, session.output)
        return code

    output = output_of(arguments, config.output)
    if not arguments.json:  # Programs ask `config`.
        _note_rules(config, output)
    code = _session(config, output, up)
    return finish(arguments, code, **fields)


def _note_rules(config: Config, output: Output) -> None:
    from ..options.run_notes import describe_engine, describe_rules

    output.note(describe_rules(config))
    output.note(describe_engine(config.engine, os.environ))


def _session(config: Config, output: Output, then: Callable[[Session, Workspace], int]) -> int:
    from ..reports.collector import collecting
    from ..session import Session

    assert config.repo is not None  # noqa: S101 -- argparse has a default
    with (
        ci_run(_LABEL, config) as ci,
        collecting(config.report, config.image, output.note) as report,
        Session(config, output, report=report) as session,
    ):
        snapshot = session.repository(config.repo, config.rev)
        session.tell_notes()
        workspace = session.workspace(session.spec(snapshot, config.env), "ready", label=_LABEL)
        code = then(session, workspace)
        ci.workspace(workspace)
        session.stop(workspace)
    return code


def _report(session: Session, workspace: Workspace, *, shell: bool = False) -> int:
    """
    Print the result for users. With *shell*, open a shell on a terminal if no script had to run.
    """
    session.output.note(describe_workspace(workspace))
    code = 0
    streams = own_streams()
    if shell and workspace.setup.cache == "none" and streams.interactive:
        session.output.note(HINT)
        code = attach(workspace, SHELL, streams, terminal=True)
    report_network(workspace, session.output)
    return code


def _fields(arguments: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    """
    Return the fields of the result for programs, and print the requests, which come before it.
    """
    from ..network.problems import problems_of
    from ..reporting.events import facts_of
    from ..workspace.handle import own_requests

    setup = workspace.setup
    requests = [*setup.requests, *own_requests(workspace)]
    omitted = print_requests(arguments, requests)
    return {
        "cache": setup.cache,
        "key": setup.key,
        "project": str(workspace.project),
        "head": workspace.head,
        "setup_duration": round(setup.duration, 3),
        "log_path": setup.log_path,
        "blocked": [facts_of(one) for one in workspace.network.blocked],
        "problems": [one.to_dict() for one in problems_of(requests)],
        "omitted": omitted,
    }


def _changes(session: Session, workspace: Workspace) -> dict[str, Any] | None:
    """
    Return what has changed for programs.
    """
    found = list_changes(workspace, session.output)
    if found is None:
        return None
    files = [{"path": one.path, "kind": one.kind, "size": one.size} for one in found]
    return {"since": found.since, "files": files, "more": found.more}
