"""`codex-workspace doctor`: what is in the way of a workspace on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from ..config import Config, ConfigError
from ..errors import PolicyError
from .common import add_command, add_options, add_repo, config_of, show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..doctor.result import Finding, Status
    from .common import Commands

__all__ = ["lines_of", "register"]

_DOCTOR = """\
Look at everything that workspaces need: the engine, the way out, this machine,
the repository, and what images have. Nothing is built, pulled or left behind.

The exit code is 1 if a workspace could not come up, 0 otherwise.

  codex-workspace doctor
  codex-workspace doctor ../other --image=slim --env=CODEX_ENV_NODE_VERSION=22
  codex-workspace doctor --json | jq 'select(.status != "ok")'
"""

_COLOURS = {"ok": "32", "warning": "33", "error": "31;1"}


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "doctor", "what is in the way of a workspace", _DOCTOR, _doctor)
    add_repo(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_options(
        parser, ("rev", "image", "env", "cache-ttl", "cache-size", "engine", "upstream-proxy")
    )


def _doctor(arguments: argparse.Namespace) -> int:
    from ..doctor.checks import run_all

    try:
        config, config_error = config_of(arguments), ""
    except (ConfigError, PolicyError) as error:
        # What the options say by themselves must do for the other checks.
        config, config_error = Config.of(vars(arguments), spell="--{}"), str(error)
    found = run_all(config, config_error=config_error)
    statuses = _as_json(found) if arguments.json else _as_text(found)
    return 1 if "error" in statuses else 0


def _as_json(found: Iterable[Finding]) -> list[Status]:
    statuses: list[Status] = []
    for finding in found:
        show(json.dumps(finding.to_dict()))
        statuses.append(finding.result.status)
    return statuses


def _as_text(found: Iterable[Finding]) -> list[Status]:
    from ..suggest import counted

    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    statuses: list[Status] = []
    group = ""
    for finding in found:
        if finding.group != group:
            group = finding.group
            show(group)
        for line in lines_of(finding, coloured=coloured):
            show(line)
        statuses.append(finding.result.status)
    warnings, errors = statuses.count("warning"), statuses.count("error")
    total = counted(len(statuses), "check")
    show(f"{total}: {counted(warnings, 'warning')}, {counted(errors, 'error')}")
    return statuses


def lines_of(finding: Finding, *, coloured: bool) -> Iterable[str]:
    """
    A line for the check, and indented below it what else there is to say.
    """
    from ..printable import printable

    result = finding.result
    mark = f"{result.status:<7}"
    if coloured:
        mark = f"\x1b[{_COLOURS[result.status]}m{mark}\x1b[0m"
    first, *rest = printable(result.text).splitlines() or [""]
    yield f"  {mark}  {finding.check:<15}  {first}".rstrip()
    for line in (*rest, *printable(result.remedy).splitlines()):
        yield f"           {line}"
