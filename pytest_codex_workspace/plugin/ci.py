"""What a run of pytest shows to a CI service. Under pytest-xdist, the controller does it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import CodexWorkspaceError
from ..options.markers import WorkspaceRequest
from ..reporting.ci import CiService, service_of
from ..text.phrases import counted
from .items import uses_workspace
from .settings import settings_of
from .summary import tally_of
from .terminal import line_writer
from .workers import is_worker

if TYPE_CHECKING:
    from ..reporting.account import RunAccount

__all__ = ["begin_ci", "ci_of", "note_failure"]

_SERVICE = pytest.StashKey[CiService]()
_WORST = ("failed", "error", "xpassed", "rerun", "passed", "xfailed", "skipped")
_COLUMNS = ("outcome", "test", "seconds", "cache", "blocked", "failure")


def begin_ci(config: pytest.Config) -> None:
    """
    Recognise the service, and show the run to it at its end.
    """
    service = service_of(os.environ)
    if is_worker(config):
        config.stash[_SERVICE] = service.for_worker()
        return
    config.stash[_SERVICE] = service
    if service.is_known:
        config.pluginmanager.register(_SummaryHooks(service))
        # What is not captured goes into the log of the service while a test runs.
        live = config.getini("log_cli") or config.getoption("log_cli_level", None)
        if live or config.getoption("capture", "no") == "no":
            config.pluginmanager.register(_PrintingHooks(service))


def ci_of(config: pytest.Config) -> CiService:
    """
    Return the service of this run.
    """
    return config.stash[_SERVICE]


def note_failure(
    config: pytest.Config, error: CodexWorkspaceError, wanted: WorkspaceRequest, directory: Path
) -> None:
    """
    Remember an error for the controller, which reports each one once.

    Args:
        config: of this process.
        error: why a workspace did not start.
        wanted: what the test asked for.
        directory: where a path of *wanted* starts.
    """
    from ..reports.findings import finding_of_error

    if service_of(os.environ).is_known:
        repo = settings_of(config).repo if wanted.repo is None else directory / wanted.repo
        finding = finding_of_error(error, repo, os.environ)
        tally_of(config).failures[f"{finding.title} {finding.file}:{finding.line}"] = asdict(
            finding
        )


@dataclass
class _Test:
    """
    What the reports of one test say.
    """

    outcome: str = "passed"
    seconds: float = 0.0
    message: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    blocked: int = 0

    def add(self, category: str, report: Any) -> None:
        outcome = next((one for one in _WORST if one in category), self.outcome)
        if _WORST.index(outcome) < _WORST.index(self.outcome) or self.outcome == "passed":
            self.outcome = outcome
        self.seconds += getattr(report, "duration", 0.0)
        crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
        self.message = self.message or str(getattr(crash, "message", "")).partition("\n")[0]
        properties = getattr(report, "user_properties", ())
        self.properties.update((name, value) for name, value in properties)
        counts = [value for name, value in properties if name == "codex_blocked"]
        self.blocked = max(self.blocked, sum(counts))


class _SummaryHooks:
    """
    Reports a run to its service.
    """

    def __init__(self, service: CiService) -> None:
        self._service = service

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> Generator[None]:
        """
        Let pytest show failures with the output of workspaces, and then report to the service.
        """
        from ..reports.findings import redaction_of

        def write(line: str) -> None:
            terminalreporter.ensure_newline()
            terminalreporter.write_line(line)

        with self._service.without_commands(write):
            yield
        account = _account(terminalreporter, config)
        if account is not None:
            redact = redaction_of(settings_of(config).secret, os.environ)
            self._service.tell(account, write, redact)


class _PrintingHooks:
    """
    Stops commands in what tests print into the log of a service.
    """

    def __init__(self, service: CiService) -> None:
        self._service = service

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """
        Let a test, or its fixtures, print what a workspace has printed.
        """
        __tracebackhide__ = True
        with self._printing(item):
            return (yield)

    pytest_runtest_setup = pytest_runtest_teardown = pytest_runtest_call

    def _printing(self, item: pytest.Item) -> AbstractContextManager[None]:
        service = self._service if uses_workspace(item) else CiService()
        return service.without_commands(line_writer(item.config))


def _account(reporter: pytest.TerminalReporter, config: pytest.Config) -> RunAccount | None:
    """
    Return what the controller knows of the tests with workspaces; `None` if there are none.
    """
    from ..reporting.account import CiFinding, RunAccount

    tally = tally_of(config)
    tests = dict(_tests(reporter))
    if not tests and not tally.failures:
        return None
    found = settings_of(config)
    account = RunAccount("Tests in Codex workspaces", columns=_COLUMNS)
    outcomes = [one.outcome for one in tests.values()]
    account.facts["tests"] = ", ".join(
        f"{outcomes.count(one)} {one}" for one in _WORST if one in outcomes
    )
    if tally.counts:
        counts = sorted(tally.counts.items())
        account.facts["setup"] = ", ".join(f"cache {name} {number}" for name, number in counts)
    account.facts["image"] = found.image
    blocked = sum(one.blocked for one in tests.values())
    account.facts["network"] = f"{counted(blocked, 'request')} blocked"
    account.findings += [CiFinding(**one) for one in tally.failures.values()]
    for first, *rest in tally.setups.values():
        text = "\n".join(rest)
        account.findings.append(CiFinding("warning", first.removeprefix("warning: "), text))
    shown = [(n, one) for n, one in tests.items() if one.outcome in _WORST[:2] or one.blocked]
    for name, one in sorted(shown, key=lambda each: _WORST.index(each[1].outcome)):
        cache = str(one.properties.get("codex_cache", ""))
        numbers = f"{one.seconds:.1f}", cache, str(one.blocked)
        account.rows.append((one.outcome, name, *numbers, one.message))
    return account


def _tests(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, _Test]]:
    tests: dict[str, _Test] = {}
    for category, reports in reporter.stats.items():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                tests.setdefault(report.nodeid, _Test()).add(category, report)
    for name, test in tests.items():
        if "codex_repo" in test.properties:
            yield name, test
