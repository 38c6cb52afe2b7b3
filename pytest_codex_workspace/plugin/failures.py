"""What the report of a test shows: the state of its workspaces, hints, and none of our frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CodexWorkspaceError, ExecError, ExecTimeout
from ..unpatched import clock
from .attempt import attempt_of
from .items import uses_workspace
from .run import COLLECTOR, SESSION

if TYPE_CHECKING:
    from types import TracebackType

    import pytest

    from ..network.rules.request import Request
    from ..workspace.handle import Workspace

__all__ = [
    "add_account",
    "add_outcome",
    "add_scope_hint",
    "add_workspaces",
    "cut_frames",
    "hide_secrets",
    "network_properties",
]

_OURS = f"{__name__.partition('.')[0]}."
"""What the names of our modules begin with."""

_TITLE = "codex workspace"
_PROBLEMS = 5

_SCOPE_HINT = (
    "A workspace of codex_workspace belongs to one test. A fixture with a wider scope takes "
    "codex_workspace_class, codex_workspace_module or codex_workspace_session, whose tests share "
    "the workspace; codex_env and codex_network_policy of a conftest.py then need that scope, too. "
    "What takes long in a setup script is cached, so each test can start from there."
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
        name = workspace.id
        since, now = attempt.reported.get(name), position_in(workspace)
        if attempt.in_call:
            since = attempt.seen.get(name)
            attempt.seen[name] = now
        if report.failed:
            attempt.reported[name] = now
            said = str(error) if isinstance(error, ExecError | ExecTimeout) else ""
            _add_section(report, failure_section(workspace, reproduce, since, said=said))
            # It has all of it now.
            report.sections = [one for one in report.sections if one[1] not in attempt.accounts]


def add_account(item: pytest.Item, workspace: Workspace, reproduce: str) -> None:
    """
    Add what is known of a workspace of a test that has not failed as captured output. JUnit and
    other reporters have that; pytest shows it with `-rA`.
    """
    from ..reports.section import failure_section

    attempt = attempt_of(item)
    if not attempt.failed:
        text = failure_section(workspace, reproduce, attempt.reported.get(workspace.id))
        attempt.accounts.append(text)
        item.add_report_section("teardown", "stdout", text)


def _add_section(report: pytest.TestReport, text: str) -> None:
    # A part of the failure, which every reporter shows: JUnit and others leave sections out.
    add = getattr(report.longrepr, "addsection", None)
    if add is not None:
        add(_TITLE, text)
    else:
        report.sections.append((_TITLE, text))


def hide_secrets(item: pytest.Item, report: pytest.TestReport) -> None:
    """
    Remove the values of secrets from the report of a test: a setup script may have left one in a
    file, and a command of the test prints it.
    """
    session = item.config.stash.get(SESSION, None)
    if session is None or not session.secrets.names:
        return
    text = session.secrets.redaction.text
    report.longrepr = _hidden(report.longrepr, text)
    report.sections = [(text(title), text(content)) for title, content in report.sections]
    report.user_properties = _hidden(report.user_properties, text)


def _hidden(value: Any, text: Callable[[str], str]) -> Any:
    """
    Return *value* with every text in it changed, also in the objects that pytest shows.
    """
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        hidden = [_hidden(one, text) for one in value]
        # A property may be a named tuple.
        return hidden if isinstance(value, list) else getattr(value, "_make", tuple)(hidden)
    if type(value).__module__.startswith("_pytest."):
        for name, one in getattr(value, "__dict__", {}).items():
            setattr(value, name, _hidden(one, text))
    return value


def network_properties(requests: Sequence[Request]) -> list[tuple[str, Any]]:
    """
    Return properties of a test: the number of its requests and of those that were blocked, and
    what went wrong.
    """
    from ..network.problems import list_problems, problems_of

    blocked = sum(each.verdict == "blocked" for each in requests)
    problems = list_problems(problems_of(requests), shown=_PROBLEMS)
    return [
        ("codex_requests", len(requests)),
        ("codex_blocked", blocked),
        *([("codex_problems", "; ".join(problems))] if problems else []),
    ]


def add_outcome(item: pytest.Item, report: pytest.TestReport) -> None:
    """
    Add the outcome of a test that used a workspace, or failed to get one, to the report of the run.
    """
    collector, attempt = item.config.stash.get(COLLECTOR, None), attempt_of(item)
    wanted = attempt.workspaces or (report.failed and uses_workspace(item))
    if collector is None or not wanted:
        return
    if not report.failed and attempt.failed:
        return  # It was added when it failed.
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(getattr(crash, "message", "")).partition("\n")[0] if report.failed else ""
    outcome = "failed" if report.failed else "skipped" if attempt.skipped else "passed"
    duration = clock.wall_time() - attempt.began
    collector.test(item.nodeid, outcome, attempt.began, duration, message)


def cut_frames(error: BaseException) -> None:
    """
    Remove our frames from the end of a traceback that a user's frame leads to, if the error is for
    the user: one of ours, or an interruption from outside.
    """
    if isinstance(error, Exception) and not isinstance(error, CodexWorkspaceError):
        return
    caller, entry = None, error.__traceback__
    while entry is not None:
        if _module_of(entry).startswith(_OURS) and caller is not None:
            if _module_of(caller) == "_pytest.fixtures":
                entry.tb_next = None  # Our fixture.
                return
            if not _module_of(caller).startswith((_OURS, "_pytest.", "pluggy.")):
                caller.tb_next = None
                return
        caller, entry = entry, entry.tb_next


def _module_of(entry: TracebackType) -> str:
    return str(entry.tb_frame.f_globals.get("__name__", ""))
