"""`codex-workspace smoke`: test the whole chain with an example repository."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..text.phrases import counted
from .ci import ci_run
from .options import RUN_OPTIONS, add_command, add_json, add_options, config_of
from .printing import finish, print_event, show

if TYPE_CHECKING:
    from ..reporting.output import Output, OutputMode
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "test the whole chain with an example repository"

_SMOKE = """\
Test the whole chain with an example repository.

The repository is set up as by `run`, and the promises of this package are
checked in its workspaces: only committed files are there; HTTPS works, while
HTTP, WebSocket and direct connections are blocked; the results of the setup are
there in the cached run; and so on. The exit code is 1 if a check failed.

Examples:
  codex-workspace smoke --image=slim
"""


_NOT_FOR_SMOKE = {
    *("rev", "env", "cassette", "secret", "network-secret"),
    *("setup-script", "maintenance-script"),
}


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "smoke", SUMMARY, _SMOKE, _smoke)
    add_json(parser)
    add_options(parser, tuple({*RUN_OPTIONS, "report"} - _NOT_FOR_SMOKE))


def _smoke(arguments: argparse.Namespace) -> int:
    from ..reporting.account import CiFinding
    from ..reports.collector import collecting
    from ..session import Session
    from ..smoke import run_smoke

    # Its repository has scripts of its own.
    config = replace(config_of(arguments), setup_script=None, maintenance_script=None)
    shown: list[str] = []
    checks = failed = 0
    output = _output(arguments, config.output, shown)
    with (
        ci_run("codex-workspace smoke", config) as ci,
        collecting(config.report, config.image, output.note) as report,
        Session(config, output, report=report) as session,
        tempfile.TemporaryDirectory(prefix="codex-smoke-") as directory,
    ):
        for outcome in run_smoke(session, Path(directory), shown):
            checks += 1
            failed += not outcome.ok
            if not outcome.ok:
                title = f"smoke: {outcome.promise} failed: {outcome.text}"
                ci.account.findings.append(CiFinding("error", title, outcome.seen))
            if not print_event(arguments, "outcome", **asdict(outcome)):
                mark = "ok" if outcome.ok else "FAILED"
                show(f"{outcome.promise:<4} {mark:<6} {outcome.text}: {outcome.seen}")
        ci.account.facts["checks"] = f"{checks}, {failed} failed"
    text = f"{counted(failed, 'check')} failed" if failed else "all checks passed"
    if not arguments.json:
        show(text)
    # The fields of an outcome, so that every line can be read alike.
    fields = {"promise": "all", "text": text, "ok": not failed, "seen": counted(checks, "check")}
    return finish(arguments, 1 if failed else 0, **fields)


def _output(arguments: argparse.Namespace, mode: OutputMode, shown: list[str]) -> Output:
    """
    Return an output that also appends each line to *shown*. Standard output is for the
    results, and with `--json` for events too.
    """
    from ..reporting.ci import service_of
    from ..reporting.events import EventOutput

    def write(line: str) -> None:
        shown.append(line)
        print(line, file=None if arguments.json else sys.stderr, flush=True)

    return (
        EventOutput(mode, write) if arguments.json else service_of(os.environ).output(mode, write)
    )
