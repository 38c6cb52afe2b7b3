"""What `shell`, `exec` and `run` share: a person's command in a workspace."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ProxyError
from .common import RUN_OPTIONS, add_options, add_repo, config_of, output_on

if TYPE_CHECKING:
    from ..output import Output
    from ..process import Process, Pty
    from ..terminal import Streams
    from ..workspace import Workspace

__all__ = [
    "FROM",
    "HINT",
    "SHELL",
    "add_workspace",
    "converse",
    "describe",
    "in_workspace",
    "own_streams",
]

FROM = """\
--from names what to start from:
  ready  what tests start from: setup-script.sh and setup-from-cache-script.sh
         have run, now or when their images were made
  setup  the image that setup-script.sh led to, at the commit it was made
         from; setup-from-cache-script.sh has not run
  clean  the commit; no script has run
"""
"""For the help of commands that take `add_workspace`."""

HINT = "exit or ^D ends it, nothing is kept"

SHELL = ("bash", "--login")

_SHOWN = 10

_SETUP = {
    "hit": "the cached setup was used",
    "miss": "setup ran and is cached now",
    "off": "setup ran; the cache is off",
    "none": "there is no codex-workspace-scripts/, so nothing to set up",
}


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """
    The arguments that say which workspace: `REPO`, `--from`, and the options
    of `run`.
    """
    add_repo(parser)
    parser.add_argument(
        "--from",
        dest="state",
        choices=("ready", "setup", "clean"),
        default="ready",
        help="what to start from (default: ready)",
    )
    add_options(parser, RUN_OPTIONS)


def describe(workspace: Workspace, state: str = "ready") -> str:
    """
    Which workspace is up, and what its setup was.
    """
    told = "no script has run" if state == "clean" else _SETUP[workspace.setup.cache]
    return f"{workspace.project} at {workspace.head[:12]} is up: {told}"


def in_workspace(
    arguments: argparse.Namespace,
    command: Sequence[str],
    streams: Streams,
    *,
    terminal: bool,
    hint: str = "",
) -> int:
    """
    Run *command* in a new workspace. What we have to say goes to standard
    error.

    Args:
        arguments: what `add_workspace` has parsed.
        command: program and arguments.
        streams: what it reads and where its output goes.
        terminal: whether it runs on a terminal.
        hint: what else to say when it starts.

    Returns:
        The command's exit code.
    """
    from ..session import Session

    config = config_of(arguments)
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    output = output_on(sys.stderr, config.output)
    session = Session(config, output)
    try:
        snapshot = session.repository(config.repo, config.rev)
        workspace = session.workspace(session.order(snapshot, config.env), arguments.state)
        output.note("; ".join([describe(workspace, arguments.state), *([hint] if hint else [])]))
        code = converse(workspace, command, streams, terminal=terminal)
        if config.output != "quiet":
            _tell_blocked(workspace, output)
        session.stop(workspace)
        return code
    finally:
        session.close()


def converse(
    workspace: Workspace, command: Sequence[str], streams: Streams, *, terminal: bool
) -> int:
    """
    Run *command* in *workspace*, connected to *streams*.

    Returns:
        The command's exit code.
    """
    from ..terminal import known_term, on_pipes, on_terminal

    def start(pty: Pty | None = None) -> Process:
        return workspace.start(command, pty=pty)

    if terminal:
        return on_terminal(start, streams, known_term(workspace, os.environ.get("TERM", "")))
    return on_pipes(start, streams)


def own_streams() -> Streams:
    """
    What this process was started with.
    """
    from ..terminal import Streams

    return Streams(stdin=None if sys.stdin is None else 0)


def _tell_blocked(workspace: Workspace, output: Output) -> None:
    try:
        blocked = workspace.network.blocked
    except ProxyError as error:
        output.note(f"what was blocked is not known: {error}")
        return
    for request in blocked[:_SHOWN]:
        output.note(f"blocked: {request}")
    if len(blocked) > _SHOWN:
        output.note(f"blocked: {len(blocked) - _SHOWN} more")
