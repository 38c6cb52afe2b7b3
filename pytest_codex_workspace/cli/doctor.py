"""`codex-workspace doctor`: check whether this machine can run a workspace."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from ..errors import ConfigError, PolicyError
from ..options.config import Config
from ..text.phrases import counted
from .options import add_command, add_json, add_options, add_repo, config_of
from .printing import finish, print_event, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..doctor.result import NamedResult, Status
    from .options import Commands

__all__ = ["SUMMARY", "finding_lines", "register"]

SUMMARY = "check whether this machine can run a workspace"

_DOCTOR = """\
Check whether this machine can run a workspace.

The container engine, the network, the machine, the repository and the image are
checked. Each problem is printed with its remedy. Nothing is built, pulled or
left behind.

The exit code is 1 if a check is an error, which means that no workspace can
start; otherwise it is 0.

Examples:
  codex-workspace doctor
  codex-workspace doctor ../other --image=slim --env=CODEX_ENV_NODE_VERSION=22
  codex-workspace doctor --json | jq 'select(.event == "check" and .status != "ok")'
"""

_COLOURS = {"ok": "32", "warning": "33", "error": "31;1"}


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "doctor", SUMMARY, _DOCTOR, _doctor, "[REPO]")
    add_repo(parser)
    add_json(parser)
    add_options(
        parser,
        (
            "rev",
            "repo-config",
            "profile",
            "setup-script",
            "maintenance-script",
            "image",
            "env",
            "cache-ttl",
            "cache-size",
            "engine",
            "upstream-proxy",
        ),
    )


def _doctor(arguments: argparse.Namespace) -> int:
    from ..doctor.checks import run_all

    problem: ConfigError | PolicyError | None
    try:
        config, problem = config_of(arguments, tell=False), None
    except (ConfigError, PolicyError) as error:
        # The other checks run with the options of the command line alone.
        config, problem = Config.of(vars(arguments), spell="--{}"), error
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    statuses: list[Status] = []
    group = ""
    # Whatever ends the command, the checks remove what they have created.
    with closing(run_all(config, problem=problem)) as findings:
        for finding in findings:
            statuses.append(finding.result.status)
            if print_event(arguments, "check", **finding.to_dict()):
                continue
            if finding.group != group:
                group = finding.group
                show(group)
            for line in finding_lines(finding, coloured=coloured):
                show(line)
    return _finish(arguments, statuses)


def _finish(arguments: argparse.Namespace, statuses: Sequence[Status]) -> int:
    from ..doctor.result import NamedResult, Result

    warnings, errors = statuses.count("warning"), statuses.count("error")
    text = f"{counted(len(statuses), 'check')}: " + (
        f"{counted(warnings, 'warning')}, {counted(errors, 'error')}"
    )
    if not arguments.json:
        show(text)
    worst: Status = "error" if errors else "warning" if warnings else "ok"
    remedy = "" if worst == "ok" else "Follow the remedies of the checks above."
    # The fields of a check, so that every line can be read alike.
    summary = NamedResult("summary", "all", Result(worst, text, remedy)).to_dict()
    return finish(arguments, 1 if errors else 0, **summary)


def finding_lines(finding: NamedResult, *, coloured: bool) -> Iterable[str]:
    """
    Yield a line for the check, and below it, indented, further text and the remedy.
    """
    from ..text.printable import printable

    result = finding.result
    mark = f"{result.status:<7}"
    if coloured:
        mark = f"\x1b[{_COLOURS[result.status]}m{mark}\x1b[0m"
    first, *rest = printable(result.text).splitlines() or [""]
    yield f"  {mark}  {finding.check:<15}  {first}".rstrip()
    for line in (*rest, *printable(result.remedy).splitlines()):
        yield f"           {line}"
