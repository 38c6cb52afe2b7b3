"""What is added to the report of a test: the state of its workspaces, and hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ExecError, ExecTimeout
from ..unpatched import clock
from .attempt import attempt_of
from .items import uses_workspace
from .run import COLLECTOR

if TYPE_CHECKING:
    import pytest

__all__ = ["add_outcome", "add_scope_hint", "add_workspaces"]

_TITLE = "codex workspace"

_SCOPE_HINT = (
    "A workspace belongs to one test. Give the fixture that asks for it the scope 'function', and "
    "do what takes long in codex-workspace-scripts/setup-script.sh: its result is cached, and each "
    "test starts from there."
)


def add_scope_hint(item: pytest.Item, report: pytest.TestReport, text: str) -> None:
    """
    Add what to do about a fixture whose scope is too wide, if *text* says so.
    """
    if uses_workspace(item) and "ScopeMismatch" in text:
        report.sections.append((_TITLE, _SCOPE_HINT))


def add_workspaces(
    item: pytest.Item, report: pytest.TestReport, error: BaseException | None
) -> None:
    """
    Add a section on each workspace to the report of a failure: to a subtest's report with what
    happened since the subtest before, to any other report with what no report has shown.

    Args:
        item: the test.
        report: its report.
        error: what failed. If it has the output of a command, the section does not repeat it.
    """
    attempt = attempt_of(item)
    if not attempt.workspaces or not (attempt.in_call or report.failed):
        return
    from ..reports.section import failure_section, position_in

    for workspace, reproduce in attempt.workspaces:
        container = workspace.container
        since, now = attempt.reported.get(container), position_in(workspace)
        if attempt.in_call:
            since = attempt.seen.get(container)
            attempt.seen[container] = now
        if report.failed:
            attempt.reported[container] = now
            said = str(error) if isinstance(error, ExecError | ExecTimeout) else ""
            _add_section(report, failure_section(workspace, reproduce, since, said=said))


def _add_section(report: pytest.TestReport, text: str) -> None:
    # A part of the failure, which every reporter shows: JUnit and others leave sections out.
    add = getattr(report.longrepr, "addsection", None)
    if add is not None:
        add(_TITLE, text)
    else:
        report.sections.append((_TITLE, text))


def add_outcome(item: pytest.Item, report: pytest.TestReport) -> None:
    """
    Add the outcome of a test that used a workspace to the report of the run.
    """
    collector, attempt = item.config.stash.get(COLLECTOR, None), attempt_of(item)
    if collector is None or not attempt.workspaces:
        return
    if not report.failed and attempt.failed:
        return  # It was added when it failed.
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(getattr(crash, "message", "")).partition("\n")[0] if report.failed else ""
    outcome = "failed" if report.failed else "skipped" if attempt.skipped else "passed"
    duration = clock.wall_time() - attempt.began
    collector.test(item.nodeid, outcome, attempt.began, duration, message)
