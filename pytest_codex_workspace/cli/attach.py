"""Running a command in a workspace, attached to the user's terminal or streams."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import CodexWorkspaceError, ProxyError
from .ci import ci_run
from .options import RUN_OPTIONS, add_options, add_repo, config_of
from .printing import output_on
from .streams import OutputError

if TYPE_CHECKING:
    from ..reporting.output import Output
    from ..snapshots.changes import FileChanges
    from ..workspace.attach import Streams
    from ..workspace.handle import Workspace

__all__ = [
    "FROM",
    "HINT",
    "SHELL",
    "add_diff",
    "add_workspace",
    "attach",
    "describe_workspace",
    "in_workspace",
    "list_changes",
    "own_streams",
    "report_changes",
    "report_network",
]

FROM = """\
--from selects the state to start from:
  ready  the state that tests start from: setup-script.sh and
         setup-from-cache-script.sh (Codex: the maintenance script) have run, now
         or earlier
  setup  the cached result of setup-script.sh, at the commit it was made from;
         setup-from-cache-script.sh has not run
  clean  the files of the commit; no script has run
"""
"""Help text for commands that use `add_workspace`."""

HINT = "leave with exit or ^D; nothing is kept"

SHELL = ("bash", "--login")

_SETUP = {
    "hit": "the cached setup was used",
    "miss": "setup ran and is cached now",
    "off": "setup ran; the cache is off",
    "none": "no codex-workspace-scripts/, so no setup",
}


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments that select a workspace: `REPO`, `--from`, and the options
    of `run`.
    """
    add_repo(parser)
    parser.set_defaults(progress_on_stderr=True)
    parser.add_argument(
        "--from",
        dest="state",
        choices=("ready", "setup", "clean"),
        default="ready",
        help="state to start from (default: ready)",
    )
    add_options(parser, (*RUN_OPTIONS, "report"))


def add_diff(parser: argparse.ArgumentParser) -> None:
    """
    Add the option `--diff`.
    """
    parser.add_argument(
        "--diff",
        action="store_true",
        help="list the files of the work tree that differ from the commit at the end",
    )


def describe_workspace(workspace: Workspace, state: str = "ready") -> str:
    """
    Return a line about a workspace that is ready, and about its setup.
    """
    setup = "no script has run" if state == "clean" else _SETUP[workspace.setup.cache]
    text = f"{workspace.project} at {workspace.head[:12]} is up: {setup}"
    return f"{text}; services: {', '.join(workspace.services)}" if workspace.services else text


def in_workspace(
    arguments: argparse.Namespace,
    command: Sequence[str],
    streams: Streams,
    *,
    terminal: bool,
    hint: str = "",
) -> int:
    """
    Run *command* in a new workspace. Messages go to standard error.

    Args:
        arguments: the arguments of `add_workspace`.
        command: program and arguments.
        streams: input and output of the command.
        terminal: run the command on a terminal.
        hint: text to add to the line that is printed when the command starts.

    Returns:
        The command's exit code.
    """
    from ..reports.collector import collecting
    from ..session import Session

    config = config_of(arguments, tell=False)
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    output = output_on(sys.stderr, config.output)
    label = shlex.join(command)
    with (
        ci_run(f"codex-workspace: {label}", config) as ci,
        collecting(config.report, config.image, output.note) as report,
        Session(config, output, report=report) as session,
    ):
        snapshot = session.repository(config.repo, config.rev)
        session.tell_notes()
        spec = session.spec(snapshot, config.env)
        workspace = session.workspace(spec, arguments.state, label=label)
        output.note(
            "; ".join([describe_workspace(workspace, arguments.state), *([hint] if hint else [])])
        )
        code = ci.attached(lambda: attach(workspace, command, streams, terminal=terminal))
        ci.workspace(workspace)
        if getattr(arguments, "diff", False):
            report_changes(workspace, output)
        if config.output != "quiet":
            report_network(workspace, output)
        session.stop(workspace)
    return code


def attach(
    workspace: Workspace, command: Sequence[str], streams: Streams, *, terminal: bool
) -> int:
    """
    Run *command* in *workspace*, attached to *streams*.

    Returns:
        The command's exit code.
    """
    from ..workspace.attach import run_attached

    try:
        return run_attached(workspace, command, streams, terminal=terminal)
    except (BrokenPipeError, CodexWorkspaceError):
        raise
    except OSError as error:
        # The disk is full, or the caller has closed standard output.
        raise OutputError(error.errno, error.strerror) from None


def own_streams() -> Streams:
    """
    Return the standard streams of this process.
    """
    from ..workspace.attach import Streams

    return Streams(stdin=None if sys.stdin is None else 0)


def list_changes(workspace: Workspace, output: Output) -> FileChanges | None:
    """
    Return the files of the work tree that differ from the commit; `None` after a warning if that
    cannot be told, because the result of the command is the news.
    """
    try:
        return workspace.diff()
    except CodexWorkspaceError as error:
        output.note(f"warning: {error}")
        return None


def report_changes(workspace: Workspace, output: Output) -> None:
    """
    Tell which files of the work tree differ from the commit.
    """
    changes = list_changes(workspace, output)
    if changes is None:
        return
    lines = changes.lines()
    output.note(f"changed since {changes.since}: {'' if lines else 'nothing'}".rstrip())
    for line in lines:
        output.note(f"  {line}")


def report_network(workspace: Workspace, output: Output) -> None:
    """
    Tell what went wrong on the network: while `setup-script.sh` ran, now or when its result was
    cached, and in this workspace. Tell which servers a cached setup left running, which are gone,
    and which services have ended.
    """
    from ..codex import SCRIPTS
    from ..network.problems import describe_problems, problems_of, setup_warning
    from ..services.daemons import daemon_warnings
    from ..workspace.handle import own_requests

    setup = workspace.setup
    if setup.cache == "hit":
        for text in daemon_warnings(SCRIPTS, setup.daemons, setup.missing):
            output.note(f"warning: {text}")
    for service in workspace.services.values():
        for line in service.describe_end():
            output.note(line)
    if problems := problems_of(setup.requests):
        output.note(f"warning: {setup_warning(cached=setup.cache == 'hit')}")
        for line in describe_problems(problems):
            output.note(f"  {line}")
    try:
        own = own_requests(workspace)
    except ProxyError as error:
        output.note(f"what was requested is unknown: {error}")
        return
    for line in describe_problems(problems_of(own)):
        output.note(line)
