"""`codex-workspace report`: the page of a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CodexWorkspaceError
from .options import add_command, add_json, complete_with
from .printing import finish, show

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "make the page of a report again"

_REPORT = """\
Make the page of a report again, from its report.json.

DIR is the directory of pytest --codex-report, or of --report. The page is
written to DIR/index.html, and its path is printed. If the run was killed, all
files are made from what its processes left in DIR/parts.

Examples:
  codex-workspace report report
  codex-workspace report report --open
  codex-workspace report --schema >report.schema.json
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "report", SUMMARY, _REPORT, _report, "[DIR]")
    where = parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=Path("report"),
        metavar="DIR",
        help="the directory of the report (default: report)",
    )
    complete_with(where, paths="directories")
    add_json(parser)
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of report.json"
    )


def _report(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        from ..reports.schema import report_schema_text

        show(report_schema_text().removesuffix("\n"))
        return 0
    from ..reports.report import rebuild_report

    page = rebuild_report(arguments.directory)
    if not arguments.json:
        show(f"report: {page}")
    if arguments.open:
        import webbrowser

        if not webbrowser.open(page.absolute().as_uri()):
            raise CodexWorkspaceError(
                "no browser could be started", remedy=f"Open {page} by hand, or set BROWSER."
            )
    return finish(arguments, 0, page=str(page))
