"""`codex-workspace cassette`: recorded requests and responses."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..text.phrases import counted
from .options import RUN_OPTIONS, add_command, add_group, add_options, add_repo, config_of
from .printing import show, table
from .run import set_up

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "manage recorded requests"

_LIST = """\
List the exchanges of a cassette.

Phase, status, method, URL and date are printed.

Examples:
  codex-workspace cassette list
  codex-workspace cassette list ../other --name=payments
"""

_REFRESH = """\
Run the setup scripts and record their requests again.

The new recordings replace those of earlier runs of the scripts. To record the
requests of tests again, use pytest --codex-cassette=record.

Examples:
  codex-workspace cassette refresh --image=slim
"""

_PRUNE = """\
Remove exchanges that are no longer used.

These are the exchanges that no run with --codex-cassette=replay on this machine
has used since the cassette was written.

Examples:
  codex-workspace cassette prune
"""

_CASSETTE = """\
Manage cassettes, which are recorded requests and responses.

The options --cassette of `run` and --codex-cassette of pytest record and replay
them.

Examples:
  codex-workspace run --cassette=record
  codex-workspace cassette list
"""


def register(commands: Commands) -> None:
    """
    Add the command and its subcommands.
    """
    below = add_group(commands, "cassette", SUMMARY, _CASSETTE)
    for name, summary, description, action in (
        ("list", "list recorded exchanges", _LIST, _list),
        ("prune", "remove unused exchanges", _PRUNE, _prune),
    ):
        one = add_command(below, name, summary, description, action, "[REPO]")
        add_repo(one)
        one.add_argument(
            "--name", default="default", help="name of the cassette (default: default)"
        )
    refresh = add_command(
        below, "refresh", "record the setup scripts again", _REFRESH, _refresh, "[REPO]"
    )
    add_repo(refresh)
    fixed = {"cache", "cache-push", "cache-registry", "cassette"}
    add_options(refresh, tuple({*RUN_OPTIONS, "report"} - fixed))


def _list(arguments: argparse.Namespace) -> int:
    from ..network.cassettes import open_cassette, path_of

    cassette = open_cassette(path_of(Path(arguments.repo), arguments.name))
    rows = [
        (one.phase, str(one.status), one.method, one.url, one.recorded)
        for one in cassette.exchanges
    ]
    for line in table(rows):
        show(line)
    show(f"{counted(len(rows), 'exchange')} in {cassette.path}")
    return 0


def _refresh(arguments: argparse.Namespace) -> int:
    config = config_of(arguments, cassette="record", cache="refresh")
    # Recording is no reason to send an image to a registry.
    return set_up(replace(config, renew_cassette=True, cache_registry=""))


def _prune(arguments: argparse.Namespace) -> int:
    from ..network.cassettes import path_of, prune

    path = path_of(Path(arguments.repo), arguments.name)
    show(f"removed {counted(prune(path), 'exchange')} from {path}")
    return 0
