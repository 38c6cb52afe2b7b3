"""The session of a run: started by the first test that needs it, closed at the end."""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from ..options.markers import WorkspaceRequest
from .as_started import as_started
from .items import fixtures_of, is_overridden, parameters_of, workspace_request
from .settings import CONFIG
from .terminal import line_writer
from .workers import worker_input

if TYPE_CHECKING:
    from ..host.signals import EndingSignals
    from ..reporting.output import Output
    from ..reports.collector import Collector
    from ..session import Session

__all__ = ["COLLECTOR", "SESSION", "close_session", "collector_of", "prepare_for", "session_of"]

SESSION: pytest.StashKey[Session] = pytest.StashKey()
COLLECTOR: pytest.StashKey[Collector | None] = pytest.StashKey()
"""Takes the outcomes of tests. The last one is known when the session has been closed."""

_ENDS = pytest.StashKey[ExitStack]()


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
            session = Session(config.stash[CONFIG], output, report=collector)
        config.stash[SESSION] = session
        ends.callback(session.close)
    return config.stash[SESSION]


def _output_of(config: pytest.Config) -> Output:
    from ..host.dirs import cache_dir
    from ..reporting.output import Output
    from ..reporting.shared import SharedOutput

    mode, write = config.stash[CONFIG].output, line_writer(config)
    run = worker_input(config).get("testrunuid")
    return SharedOutput(mode, write, cache_dir() / "told", run) if run else Output(mode, write)


def close_session(config: pytest.Config) -> None:
    """
    Close the session of this run, if there is one.
    """
    if SESSION in config.stash:
        ends = config.stash[_ENDS]
        del config.stash[SESSION], config.stash[_ENDS]
        with as_started(config):
            ends.close()


def collector_of(config: pytest.Config, tell: Callable[[str], None]) -> Collector | None:
    """
    Return what adds to the report of this run, if `--codex-report` asks for one.
    """
    found = config.stash[CONFIG]
    if found.report is None:
        return None
    from ..reports.collector import Collector

    return Collector(found.report, found.image, tell, worker_input(config).get("workerid", ""))


def prepare_for(item: pytest.Item) -> None:
    """
    Make what the workspace of *item* starts from, as far as it is known before its fixtures run.

    Raises:
        CodexWorkspaceError: a part could not be made.
    """
    config = item.config.stash[CONFIG]
    is_direct = "codex_workspace" in fixtures_of(item)
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
    snapshot = session.repository(repo, wanted.rev or default)
    session.prepare(session.spec(snapshot, env), wanted.state)


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
