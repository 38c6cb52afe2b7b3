"""The pytest plugin: its hooks and fixtures.

What uses an engine is imported by the first test with a workspace, so that this plugin does not
slow down runs without one.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Unpack

import pytest

from ..errors import ConfigError
from ..options.markers import DESCRIPTIONS, Keywords, read_keywords, read_markers
from .as_started import as_started, remember_environment
from .attempt import attempt_of, begin_attempt, end_attempts
from .ci import begin_ci, ci_of
from .failures import add_outcome, add_scope_hint, add_workspaces, cut_frames, hide_secrets
from .items import (
    SHARED_FIXTURES,
    may_be_skipped,
    next_of_kind,
    uses_workspace,
    workspace_request,
)
from .run import (
    add_crash,
    begin_debug_log,
    begin_run_report,
    cancel_warning,
    close_session,
    describe_debug_log,
    examine_machine,
    leave_lost_engine,
    prepare_for,
    remember_fixture,
    session_of,
    warn_before,
    write_run_report,
)
from .settings import (
    UNUSABLE,
    read_settings,
    register_options,
    require_repository,
    settings_of,
    start_of,
)
from .shared import (
    begin_parts,
    check_scope,
    note_current,
    note_failed,
    note_shared,
    renew_lost,
    share_workspace,
    watch_fixture,
)
from .summary import begin_tally, header_lines, notes_of, tally_of, write_summary
from .workers import ENGINE_KEY, STANDARD_INPUT_KEY, STARTED_KEY, is_worker

if TYPE_CHECKING:
    from ..library import EngineHandle, ProxyHandle, RepositoryHandle
    from ..network.policy_reader import PolicyLike
    from ..session import Session
    from ..workspace.handle import Workspace, WorkspaceFactory

_OF_ENGINE = ("codex_engine", "codex_image", "codex_proxy")
"""The fixtures of the whole run that are other ones on another engine."""

_TALLY_KEY = "codex_workspace_tally"
"""Name of what an xdist worker sends to the controller at its end."""

_FOLLOWING = pytest.StashKey[pytest.Item | None]()
"""The test that runs after a test."""

_WORKERS = pytest.StashKey[int]()
"""How many xdist workers there were so far."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """
    Add the hooks that other plugins can implement.
    """
    from .hooks import specs

    pluginmanager.add_hookspecs(specs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    Add every option to the command line and to the ini file.
    """
    register_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """
    Check the options before anything runs.
    """
    for description in DESCRIPTIONS.values():
        config.addinivalue_line("markers", description)
    read_settings(config)
    begin_debug_log(config)
    remember_environment(config)
    begin_tally(config)
    begin_ci(config)


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    """
    Return a line with the repository, the image, the cache mode and the network policy, and
    what of the work tree is not in workspaces.
    """
    lines = header_lines(config)
    lines = [*(lines or ()), *describe_debug_log(config)]
    return [ci_of(config).neutral(line) for line in lines] or None


def pytest_sessionstart(session: pytest.Session) -> None:
    """
    Look for what of the work tree is not in workspaces, before tests make files of their own.
    Begin the report before xdist's workers add to it.
    """
    notes_of(session.config)
    begin_run_report(session)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """
    Turn invalid marker arguments of a test with a workspace into a collection error.
    """
    made = yield
    for item in made if isinstance(made, list) else [made]:
        # The marks of other tests are their project's own, even if one is called cache_hit.
        if isinstance(item, pytest.Item) and uses_workspace(item):
            try:
                read_markers(item.iter_markers())
                check_scope(item)
            except ConfigError as error:
                message = f"{item.nodeid}: {error}"
                raise collector.CollectError(message) from None
    return made


def pytest_collection_finish(session: pytest.Session) -> None:
    """
    Check the repository before the first test that uses it, once and not for each test.
    """
    config = session.config
    # Before a fixture changes a variable, and after the project's conftest files did.
    remember_environment(config)
    used = [item for item in session.items if uses_workspace(item) and not may_be_skipped(item)]
    if not used or config.option.collectonly:
        return
    # Before a test has put files in memory in the place of this machine's.
    from . import starter  # noqa: F401

    examine_machine(config)
    if is_worker(config):
        return
    if UNUSABLE in config.stash:
        raise pytest.UsageError(str(config.stash[UNUSABLE]))
    if not all(item.get_closest_marker("codex_repo") for item in used):
        require_repository(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, bool, bool]:
    """
    Before the first test that needs it, make what is made once, outside of the time limit of that
    test and before any of its fixtures changes something. An error is raised again by the fixture.
    """
    item.stash[_FOLLOWING] = nextitem
    if (
        uses_workspace(item)
        and not may_be_skipped(item)
        and not item.config.getoption("setupplan", default=False)
    ):
        with suppress(Exception), as_started(item.config):
            leave_lost_engine(item)
            prepare_for(item)
    try:
        return (yield)
    finally:
        end_attempts(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """
    Forget an earlier attempt at this test, which a plugin may run again; if that one has lost its
    engine, on another one.
    """
    begin_attempt(item)
    note_current(item)
    if uses_workspace(item):
        leave_lost_engine(item)
        renew_lost(item.config)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """
    Remember which fixtures depend on the engine, or have a workspace that tests share, and notice
    those that fail when they end. What a test's own fixtures do in a shared workspace belongs to
    the test.
    """
    watch_fixture(fixturedef, request)
    ours = fixturedef.func.__module__ == __name__
    if ours and fixturedef.argname in _OF_ENGINE:
        remember_fixture(request.config, fixturedef, request)
    elif ours and fixturedef.argname in SHARED_FIXTURES:
        note_shared(fixturedef, request)
    elif fixturedef.scope == "function":
        begin_parts(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """
    Mark the time in which a report is that of a subtest.
    """
    __tracebackhide__ = True
    begin_parts(item)
    attempt = attempt_of(item)
    attempt.in_call = True
    try:
        return (yield)
    finally:
        attempt.in_call = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Add the state of its workspaces to the report of a failed test, fixture or subtest.
    """
    if call.excinfo is not None and not item.config.getoption("fulltrace", default=False):
        cut_frames(call.excinfo.value)
    report = yield
    attempt = attempt_of(item)
    if report.skipped and not attempt.in_call:
        attempt.skipped = True
    if report.failed:
        note_failed(item)
        if call.when == "setup":
            add_scope_hint(item, report, str(call.excinfo))
    add_workspaces(item, report, call.excinfo.value if call.excinfo else None)
    hide_secrets(item, report)
    if report.when == "teardown" or report.failed:
        add_outcome(item, report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """
    Send the start time of the run to an xdist worker, the script of standard input, and which of
    several engines it begins with.
    """
    from ..options.script_text import STANDARD_INPUT

    # Each worker has the next number, also one in place of a worker that crashed.
    number = node.config.stash.get(_WORKERS, 0)
    node.config.stash[_WORKERS] = number + 1
    node.workerinput[ENGINE_KEY] = number
    node.workerinput[STARTED_KEY] = start_of(node.config)
    node.workerinput[STANDARD_INPUT_KEY] = STANDARD_INPUT.content


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """
    Add the tally of an xdist worker to ours; one that crashed has sent none.
    """
    output = getattr(node, "workeroutput", {})
    if _TALLY_KEY in output:
        tally_of(node.config).add(output[_TALLY_KEY])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """
    Add the test that ended an xdist worker to the report: the worker itself cannot.
    """
    add_crash(sched.config, crashitem, report)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """
    Show what is running shortly before pytest-timeout ends the whole process, as its method
    `thread` does. It prints what was captured.
    """
    if settings.method == "thread" and uses_workspace(item):
        warn_before(item, settings.timeout)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    """
    Stop waiting for the end of the time.
    """
    cancel_warning(item)


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """
    Show the line of the test that Ctrl-C interrupted, not ours.
    """
    cut_frames(excinfo.value)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """
    End what no fixture has ended. Send the tally of an xdist worker to the controller.
    """
    close_session(session.config)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_TALLY_KEY] = tally_of(session.config).to_dict()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """
    Write how often the cache was used, and which workspaces were kept.
    """
    write_summary(terminalreporter, config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """
    Write the report where no summary did: without a terminal, or after an internal error.
    """
    write_run_report(config, lambda line: print(f"codex {line}", file=sys.stderr))  # noqa: T201


@pytest.fixture(scope="session")
def _codex_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    yield session_of(request.config)
    close_session(request.config)


@pytest.fixture(scope="session")
def codex_engine(request: pytest.FixtureRequest, _codex_session: Session) -> EngineHandle:
    """
    Return the container engine of this run.
    """
    _refuse_parameter(request)
    with as_started(request.config):
        return _codex_session.engine


@pytest.fixture(scope="session")
def codex_image(request: pytest.FixtureRequest, _codex_session: Session) -> str:
    """
    Return the tag of the base image, built if it was missing or out of date.
    """
    _refuse_parameter(request)
    with as_started(request.config):
        return _codex_session.base_tag


@pytest.fixture(scope="session")
def codex_proxy(request: pytest.FixtureRequest, _codex_session: Session) -> ProxyHandle:
    """
    Return the proxy of this run.
    """
    _refuse_parameter(request)
    with as_started(request.config):
        return _codex_session.isolation


@pytest.fixture(scope="session")
def codex_repo(request: pytest.FixtureRequest) -> RepositoryHandle:
    """
    Return the repository of `--codex-repo` at `--codex-rev`. Skip the test without one.
    """
    _refuse_parameter(request)
    config = settings_of(request.config)
    if config.repo is None:
        pytest.skip(
            "no repository to project: give --codex-repo=PATH (or codex_repo in the ini file, "
            "or @pytest.mark.codex_repo)"
        )
    session: Session = request.getfixturevalue("_codex_session")
    with as_started(request.config):
        return session.repository(config.repo, config.rev)


@pytest.fixture
def codex_env(request: pytest.FixtureRequest) -> dict[str, str]:
    """
    Return variables for every workspace. Override this fixture in a `conftest.py`, or give them
    with `parametrize(..., indirect=True)`.
    """
    found: dict[str, str] = getattr(request, "param", {})
    return found


@pytest.fixture
def codex_network_policy(request: pytest.FixtureRequest) -> PolicyLike:
    """
    Return the network policy of every workspace: a policy, its fields, its name, or
    its path. Override this fixture in a `conftest.py`, or give the policy with
    `parametrize(..., indirect=True)`.
    """
    policy: PolicyLike = getattr(request, "param", settings_of(request.config).network)
    return policy


@pytest.fixture
def codex_workspace_factory(
    request: pytest.FixtureRequest, codex_env: dict[str, str], codex_network_policy: PolicyLike
) -> Iterator[WorkspaceFactory]:
    """
    Return a function that starts workspaces. Its keywords are `rev` and the names of
    the markers (`cache_hit`, `cache_miss`, `codex_repo`, `codex_env`, `codex_network`,
    `codex_cassette`, `codex_setup`, `codex_snapshot`), with or without `codex_`; a
    snapshot is one that `Workspace.snapshot` has made, or a name. Each workspace is removed after
    the test.
    """
    from .starter import Starter

    _refuse_parameter(request)
    with closing(Starter(request, request.node, codex_env, codex_network_policy)) as starter:

        def make(**keywords: Unpack[Keywords]) -> Workspace:
            __tracebackhide__ = True
            return starter.start(read_keywords(keywords))

        yield make


@pytest.fixture
def codex_workspace(
    request: pytest.FixtureRequest, codex_env: dict[str, str], codex_network_policy: PolicyLike
) -> Iterator[Workspace]:
    """
    Return a workspace of the repository's HEAD, in the state that the test's markers
    request, and the parameter of `parametrize(..., indirect=True)`: a dict with the keywords of
    `codex_workspace_factory`.
    """
    from .starter import Starter

    __tracebackhide__ = True
    wanted = workspace_request(request.node)
    with closing(Starter(request, request.node, codex_env, codex_network_policy)) as starter:
        workspace = starter.start(wanted)
        if next_of_kind(request.node, wanted, request.node.stash.get(_FOLLOWING, None)):
            starter.prepare_another(workspace)
        yield workspace


def _shared_workspace(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    __tracebackhide__ = True
    _refuse_parameter(request)
    yield from share_workspace(request)


@pytest.fixture(scope="class")
def codex_workspace_class(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """
    Return a workspace that the tests of a class share. Markers of the class say which; the network
    log is that of each test, and stubs, faults and policies end with the test that made them.
    """
    yield from _shared_workspace(request)


@pytest.fixture(scope="module")
def codex_workspace_module(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """
    Return a workspace that the tests of a module share, as `codex_workspace_class` does.
    """
    yield from _shared_workspace(request)


@pytest.fixture(scope="session")
def codex_workspace_session(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """
    Return a workspace that all tests of the run share, as `codex_workspace_class` does. Under
    pytest-xdist, each worker has one.
    """
    yield from _shared_workspace(request)


def _refuse_parameter(request: pytest.FixtureRequest) -> None:
    __tracebackhide__ = True
    if hasattr(request, "param"):
        raise ConfigError(
            f"the fixture {request.fixturename} takes no parameter, but has {request.param!r}: "
            "of our fixtures, codex_workspace, codex_env and codex_network_policy take one"
        )
