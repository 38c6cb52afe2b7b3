"""`codex-workspace bug-report`: pack what somebody needs who looks into a bug."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, PolicyError
from ..text.units import show_size
from .options import add_command, add_json, add_options, add_repo, complete_with
from .printing import finish, show, show_message, table

if TYPE_CHECKING:
    from ..options.config import Config
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "pack logs, versions and doctor's result"

_BUG_REPORT = """\
Pack what somebody needs who looks into a bug.

The archive has the debug log of the last run that wrote one, the result of
doctor, the options, and versions. To get a log, run again what went wrong, with
CODEX_WORKSPACE_DEBUG=FILE in the environment, or --debug=FILE. Known secrets are
removed, and nothing of a repository is packed. Look through the archive before
you send it to anybody. Nothing is sent.

Examples:
  codex-workspace bug-report
  codex-workspace bug-report --log=debug.log -o report.tar.gz
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "bug-report", SUMMARY, _BUG_REPORT, _report, "[REPO]")
    # Otherwise the log to pack would be overwritten.
    parser.set_defaults(writes_debug_log=False)
    add_repo(parser)
    action = parser.add_argument(
        "-o", "--archive", type=Path, metavar="FILE", help="the archive (default: a new name here)"
    )
    complete_with(action, paths="files")
    action = parser.add_argument(
        "--log", type=Path, metavar="FILE", help="the debug log (default: that of the last run)"
    )
    complete_with(action, paths="files")
    add_json(parser)
    add_options(parser, ("rev", "repo-config", "profile", "image", "engine"))


def _report(arguments: argparse.Namespace) -> int:
    from ..debugging.bug_report import logs_beside, write_bug_report
    from ..debugging.run import last_log

    log = arguments.log or last_log()
    if arguments.log is None and log is not None and not log.exists():
        show_message(f"codex-workspace: warning: the last debug log, {log}, is gone")
        log = None
    logs = [] if log is None else logs_beside(log)
    config, problem = _config_of(arguments)
    path = arguments.archive or _new_name()
    files = write_bug_report(path, config, logs, problem)
    if not arguments.json:
        show(f"{path} has:")
        for line in table([(name, show_size(size)) for name, size in files.items()], indent=2):
            show(line)
        if not logs:
            show(
                "It has no debug log: run again what went wrong with CODEX_WORKSPACE_DEBUG=FILE "
                "in the environment, then this command."
            )
        show(
            "Look through it before you send it to anybody: it has paths of this machine and "
            "names of repositories and hosts. Known secrets were removed."
        )
    return finish(arguments, 0, path=str(path), files=list(files), log=log and str(log))


def _config_of(arguments: argparse.Namespace) -> tuple[Config, ConfigError | PolicyError | None]:
    """
    Return the options, or those of the command line and the error in the others.
    """
    from ..options.config import Config
    from ..options.sources import ResolvedOptions

    try:
        return ResolvedOptions.of(vars(arguments), spell="--{}").config, None
    except (ConfigError, PolicyError) as error:
        return Config.of(vars(arguments), spell="--{}"), error


def _new_name() -> Path:
    import time

    from ..unpatched import clock

    return Path(
        time.strftime("codex-workspace-bug-report-%Y%m%d-%H%M%S.tar.gz", clock.local_time())
    )
