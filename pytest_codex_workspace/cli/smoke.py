"""`codex-workspace smoke`: an example repository, and a table of what held."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .common import RUN_OPTIONS, add_command, add_options, config_of, show

if TYPE_CHECKING:
    from .common import Commands

__all__ = ["register"]

_SMOKE = """\
Bring an example repository up, as `run` does, try in its workspaces what must
hold there, and print a table: only committed files, HTTPS passes while HTTP,
WebSocket and direct connections are blocked, what setup made survives into
the cached run. The exit code is 1 if anything did not hold.

  codex-workspace smoke --image=slim
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "smoke", "does it all work on this machine?", _SMOKE, _smoke)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_options(parser, tuple(set(RUN_OPTIONS) - {"rev", "env", "cassette", "secret"}))


def _smoke(arguments: argparse.Namespace) -> int:
    from ..output import Output
    from ..session import Session
    from ..smoke import run_smoke

    config = config_of(arguments)
    shown: list[str] = []

    def write(line: str) -> None:
        shown.append(line)
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    missing = 0
    with (
        Session(config, Output(config.output, write)) as session,
        tempfile.TemporaryDirectory(prefix="codex-smoke-") as directory,
    ):
        for outcome in run_smoke(session, Path(directory), shown):
            missing += not outcome.held
            if arguments.json:
                show(json.dumps(asdict(outcome)))
            else:
                mark = "ok" if outcome.held else "FAILED"
                show(f"{outcome.promise:<4} {mark:<6} {outcome.text}: {outcome.seen}")
    if not arguments.json:
        show(f"{missing} did not hold" if missing else "all of it held")
    return 1 if missing else 0
