"""The session of a run: started by the first test that needs it, closed at the end."""

from __future__ import annotations

import atexit
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import ConfigError, PluginError
from ..options.markers import WorkspaceRequest
from ..unpatched import clock
from .as_started import as_started
from .items import is_overridden, parameters_of, wants_workspace, workspace_request
from .settings import UNUSABLE, given_settings, settings_of
from .terminal import line_writer
from .workers import ENGINE_KEY, is_worker, worker_input

if TYPE_CHECKING:
    from ..debugging.run import DebugLog
    from ..host.signals import EndingSignals
    from ..reporting.output import Output
    from ..reports.collector import Collector
    from ..session import Session

__all__ = [
    "COLLECTOR",
    "SESSION",
    "add_crash",
    "begin_debug_log",
    "begin_run_report",
    "cancel_warning",
    "close_session",
    "collector_of",
    "describe_debug_log",
    "examine_machine",
    "leave_lost_engine",
    "prepare_for",
    "remember_fixture",
    "session_of",
    "warn_before",
    "write_run_report",
]

SESSION: pytest.StashKey[Session] = pytest.StashKey()
COLLECTOR: pytest.StashKey[Collector | None] = pytest.StashKey()
"""Takes the outcomes of tests. The last one is known when the session has been closed."""

_DEBUG: pytest.StashKey[DebugLog] = pytest.StashKey()
_FIXTURES: pytest.StashKey[dict[str, tuple[pytest.FixtureDef[Any], Any]]] = pytest.StashKey()
_ENDS = pytest.StashKey[ExitStack]()
_UNWRITTEN = pytest.StashKey[pytest.Session]()
"""The run of pytest whose report is not written yet."""

_PREPARED = pytest.StashKey[list[tuple[str, str, dict[str, str], str]]]()
"""
What was made for workspaces of `codex_repo`: by session, engine, variables, and their start.
"""

_TIMER = pytest.StashKey[threading.Timer]()


def session_of(config: pytest.Config) -> Session:
    """
    Return the session of this run. The first call makes it.
    """
    from ..host.signals import EndingSignals
    from ..session import Session

    if SESSION not in config.stash:
        ends = config.stash[_ENDS] = ExitStack()
        # pytest tears down after Ctrl-C, but not after the other signals that ask it to end.
        signals = EndingSignals((signal.SIGTERM, signal.SIGHUP))
        ends.callback(_end_by_signal, signals)
        ends.enter_context(signals)
        output = _output_of(config)
        collector = config.stash[COLLECTOR] = collector_of(config, output.note)
        with as_started(config):
            session = Session(settings_of(config), output, report=collector)
        config.stash[SESSION] = session
        ends.callback(session.close)
    return config.stash[SESSION]


def _output_of(config: pytest.Config) -> Output:
    from ..host.dirs import cache_dir
    from ..reporting.shared import SharedFacts
    from .ci import ci_of

    output = ci_of(config).output(settings_of(config).output, line_writer(config))
    if run := worker_input(config).get("testrunuid"):
        output.is_news = SharedFacts(cache_dir() / "told", run).is_news
    return output


def close_session(config: pytest.Config) -> None:
    """
    Close the session of this run, if there is one.
    """
    if SESSION in config.stash:
        ends = config.stash[_ENDS]
        del config.stash[SESSION], config.stash[_ENDS]
        with as_started(config):
            ends.close()


def leave_lost_engine(item: pytest.Item) -> None:
    """
    If the engine of this run has been lost and there are others, let *item* and what comes after
    it use another one. Fixtures of the whole run that depend on the engine are made again.
    """
    session = item.config.stash.get(SESSION, None)
    if session is None:
        return
    with as_started(item.config):
        if session.leave_lost_engine():
            for definition, request in item.config.stash.get(_FIXTURES, {}).values():
                definition.finish(request)


def remember_fixture(
    config: pytest.Config, definition: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """
    Remember a fixture of the whole run that depends on the engine.
    """
    config.stash.setdefault(_FIXTURES, {})[definition.argname] = (definition, request)


def begin_debug_log(config: pytest.Config) -> None:
    """
    Write what we log to the file of `--codex-debug`, until the end of the run. Each xdist worker
    has a file of its own beside it.

    Raises:
        pytest.UsageError: the file cannot be written.
    """
    found = given_settings(config)
    if found is None or found.debug is None:
        return
    from ..debugging.run import DebugLog

    worker = worker_input(config).get("workerid", "")
    path = found.debug.with_name(f"{found.debug.name}.{worker}") if worker else found.debug
    try:
        log = DebugLog(path, found, f"pytest {worker}".rstrip(), of_worker=bool(worker))
    except ConfigError as error:
        if config.getoption("codex_debug", None) or config.getini("codex_debug"):
            raise pytest.UsageError(str(error)) from None
        # Variables may not end runs that use no workspace.
        config.stash.setdefault(UNUSABLE, error)
        return
    config.stash[_DEBUG] = log
    config.add_cleanup(log.close)


def examine_machine(config: pytest.Config) -> None:
    """
    Add the engine and doctor's result to the debug log, if there is one. Of xdist's workers, the
    first does.
    """
    log = config.stash.get(_DEBUG, None)
    if log is not None and not worker_input(config).get(ENGINE_KEY):
        log.examine(settings_of(config))


def describe_debug_log(config: pytest.Config) -> list[str]:
    """
    Return a line with the debug log of this run, if there is one.
    """
    log = config.stash.get(_DEBUG, None)
    return [] if log is None else [f"codex debug log: {log.path} (look through it before sending)"]


def begin_run_report(run: pytest.Session) -> None:
    """
    Remove the report of an earlier run. An xdist worker leaves it to the controller, and a run that
    only shows something has none.
    """
    config = run.config
    shows = ("collectonly", "showfixtures", "show_fixtures_per_test")
    if is_worker(config) or any(config.getoption(one, default=False) for one in shows):
        return
    collector = collector_of(config, _at_the_end)
    if collector is not None:
        collector.begin()
        config.stash[_UNWRITTEN] = run


def write_run_report(config: pytest.Config, tell: Callable[[str], None]) -> None:
    """
    Write the report of this run, if it has begun and nobody has written it. A plugin that fails
    when it is told of it fails the run.
    """
    run = config.stash.get(_UNWRITTEN, None)
    if run is None:
        return
    del config.stash[_UNWRITTEN]
    collector = collector_of(config, tell)
    if collector is None:
        return
    from .hooks.call import call_hook

    try:
        for path in collector.write():
            kind = path.suffix.removeprefix(".")
            call_hook(
                config.hook, "pytest_codex_report_written", path=path, kind=kind, config=config
            )
    except PluginError as error:
        tell(f"error: {error}")
        if run.exitstatus == pytest.ExitCode.OK:
            run.exitstatus = pytest.ExitCode.TESTS_FAILED


def add_crash(config: pytest.Config, test: str, report: pytest.TestReport) -> None:
    """
    Add a test that has ended its xdist worker to the report of this run.
    """
    collector = collector_of(config, _at_the_end)
    if collector is not None:
        message = str(report.longrepr).partition("\n")[0]
        collector.test(test, "failed", clock.wall_time(), report.duration, message)


def _at_the_end(_: str) -> None:
    """
    Leave it to the end of the run to tell what is wrong with the report, where it is read.
    """


def collector_of(config: pytest.Config, tell: Callable[[str], None]) -> Collector | None:
    """
    Return what adds to the report of this run, if `--codex-report` asks for one.
    """
    found = given_settings(config)
    if found is None or found.report is None:
        return None
    from ..reports.collector import Collector

    return Collector(found.report, found.image, tell, worker_input(config).get("workerid", ""))


def prepare_for(item: pytest.Item) -> None:
    """
    Make what the workspace of *item* starts from, as far as it is known before its fixtures run.

    Raises:
        CodexWorkspaceError: a part could not be made.
    """
    config = settings_of(item.config)
    is_direct = wants_workspace(item)
    wanted = workspace_request(item) if is_direct else WorkspaceRequest()
    repo = config.repo if wanted.repo is None else item.path.parent / wanted.repo
    if repo is None and is_direct:
        return  # The test is skipped.
    session = session_of(item.config)
    if repo is None or is_overridden(item, "codex_env") or config.cassette != "off":
        session.prepare()
        return
    default = config.rev if wanted.repo is None else "HEAD"
    env = {**config.env, **parameters_of(item).get("codex_env", {}), **wanted.env}
    prepared = item.config.stash.setdefault(_PREPARED, [])
    what = session.identity.id, session.engine.url, env, wanted.state
    # The commit of `codex_repo` stays the same for the whole run; that of another may change.
    is_fixed = wanted.repo is None and wanted.rev is None
    if is_fixed and what in prepared:
        return
    snapshot = session.repository(repo, wanted.rev or default)
    session.prepare(session.spec(snapshot, env), wanted.state)
    if is_fixed:
        prepared.append(what)


def _end_by_signal(signals: EndingSignals) -> None:
    """
    Have pytest end by the signal that it was torn down for, once it has written its summary.
    """
    if signals.received is not None:
        atexit.register(_die_by, signals.received)


def _die_by(number: int) -> None:
    from ..host.signals import die_by

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    die_by(number)


def warn_before(item: pytest.Item, seconds: float) -> None:
    """
    Show what is running shortly before *seconds* have passed and pytest-timeout ends the process.
    """
    timer = threading.Timer(seconds * 0.95, _show_running, (item.config,))
    timer.daemon = True
    item.stash[_TIMER] = timer
    timer.start()


def cancel_warning(item: pytest.Item) -> None:
    """
    Stop waiting for the end of the time.
    """
    timer = item.stash.get(_TIMER, None)
    if timer is not None:
        timer.cancel()


def _show_running(config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    for text in session.running() if session is not None else ():
        print(text, file=sys.stderr)  # noqa: T201 -- captured, and shown with the test
