"""`codex-workspace cassette`: recorded network exchanges."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .common import RUN_OPTIONS, add_command, add_group, add_options, add_repo, config_of, show
from .run import bring_up

if TYPE_CHECKING:
    from .common import Commands

__all__ = ["register"]

_LIST = """\
Print each exchange of a cassette: phase, status, method, URL and day.

  codex-workspace cassette list
  codex-workspace cassette list ../other --name=payments
"""

_REFRESH = """\
Bring the repository up and record what its scripts request, in place of what
they requested when the cassette was made. What tests request is recorded
again by: pytest --codex-cassette=record

  codex-workspace cassette refresh --image=slim
"""

_PRUNE = """\
Remove the exchanges that no run with --codex-cassette=replay on this machine
has used since the cassette was written.

  codex-workspace cassette prune
"""

_CASSETTE = """\
See and manage recorded network exchanges. They are recorded and played by
--cassette of run, and --codex-cassette of pytest.

  codex-workspace run --cassette=record
  codex-workspace cassette list
"""


def register(commands: Commands) -> None:
    """
    Add the command and those below it.
    """
    below = add_group(commands, "cassette", "recorded network exchanges", _CASSETTE)
    for name, summary, description, action in (
        ("list", "what a cassette has", _LIST, _list),
        ("prune", "remove what no replay has used", _PRUNE, _prune),
    ):
        one = add_command(below, name, summary, description, action)
        add_repo(one)
        one.add_argument("--name", default="default", help="of the cassette; default: default")
    refresh = add_command(
        below, "refresh", "record what the scripts request anew", _REFRESH, _refresh
    )
    add_repo(refresh)
    fixed = {"cache", "cache-push", "cache-registry", "cassette"}
    add_options(refresh, tuple(set(RUN_OPTIONS) - fixed))


def _list(arguments: argparse.Namespace) -> int:
    from ..cassettes import open_cassette, path_of

    cassette = open_cassette(path_of(Path(arguments.repo), arguments.name))
    for one in cassette.exchanges:
        show(f"{one.phase:6} {one.status} {one.method} {one.url}  {one.recorded}")
    show(f"{len(cassette.exchanges)} exchanges in {cassette.path}")
    return 0


def _refresh(arguments: argparse.Namespace) -> int:
    config = config_of(arguments, cassette="record", cache="refresh")
    # What a cassette needs is no reason to send an image anywhere.
    return bring_up(replace(config, renew_cassette=True, cache_registry=""))


def _prune(arguments: argparse.Namespace) -> int:
    from ..cassettes import path_of, prune

    path = path_of(Path(arguments.repo), arguments.name)
    show(f"removed {prune(path)} exchanges from {path}")
    return 0
