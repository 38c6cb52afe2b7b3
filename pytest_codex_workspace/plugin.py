"""The pytest plugin: hooks, options, markers and fixtures.

Fixtures import the modules that use an engine, so that this plugin does not slow
down runs without workspaces.
"""

from __future__ import annotations

import atexit
import os
import re
import shlex
import signal
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

import pytest

from .errors import ConfigError, PolicyError, ProjectionError
from .options.config import Config, check_environment
from .options.markers import DESCRIPTIONS, Keywords, WorkspaceRequest, read_keywords, read_markers
from .options.sources import (
    Given,
    ResolvedOptions,
    Source,
    Values,
    entries_of,
    unknown_variables,
)
from .options.table import OPTIONS, Option
from .text.phrases import did_you_mean
from .unpatched import clock

if TYPE_CHECKING:
    from .engine.protocol import Engine
    from .host.signals import EndingSignals
    from .network.isolation import Isolation
    from .network.policy_reader import PolicyLike
    from .network.rules.policy import Policy
    from .projection.repository import RepositorySnapshot
    from .reports.collector import Collector
    from .reports.section import Position
    from .session import Session
    from .workspace.handle import SetupResult, Workspace, WorkspaceFactory

_CONFIG = pytest.StashKey[Config]()
_ATTEMPT = pytest.StashKey[int]()
_FAILED = pytest.StashKey[bool]()
_IN_CALL = pytest.StashKey[bool]()
_SHOWN: pytest.StashKey[dict[str, Position]] = pytest.StashKey()
"""What of each workspace the reports of subtests have shown."""

_WORKSPACES: pytest.StashKey[list[tuple[Workspace, str]]] = pytest.StashKey()
"""The workspaces of a test, and how to start each by hand."""

_SESSION: pytest.StashKey[Session] = pytest.StashKey()
_ENDS = pytest.StashKey[ExitStack]()
_UNUSABLE: pytest.StashKey[ConfigError | PolicyError] = pytest.StashKey()
"""Why the variables of the environment cannot be used."""

_SHOWN_REPO = pytest.StashKey[str]()
"""The repository as it was given."""

_ENVIRONMENT: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""The variables when all tests were collected, before a fixture changed one."""

_TIMER = pytest.StashKey[threading.Timer]()
_COUNTS: pytest.StashKey[dict[str, int]] = pytest.StashKey()
_KEPT: pytest.StashKey[list[str]] = pytest.StashKey()
_SETUPS: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()
"""What went wrong on the network during setups that succeeded, by their keys."""

_BEGAN = pytest.StashKey[float]()
_NOTES: pytest.StashKey[list[str]] = pytest.StashKey()
_COUNTS_KEY = "codex_workspace_counts"
_KEPT_KEY = "codex_workspace_kept"
_SETUPS_KEY = "codex_workspace_setups"
_PROBLEMS = 5
_STARTED_KEY = "codex_workspace_started"
_UNKNOWN_INI = re.compile(r"Unknown config option: (codex_\w+)")
_misspelled: list[str] = []

_FIXTURES = frozenset({"codex_workspace", "codex_workspace_factory"})

_SCOPE_HINT = (
    "A workspace belongs to one test. Give the fixture that asks for it the scope 'function', and "
    "do what takes long in codex-workspace-scripts/setup-script.sh: its result is cached, and each "
    "test starts from there."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    Add every option to the command line and to the ini file.
    """
    group = parser.getgroup("codex", "Codex workspaces")
    for option in OPTIONS:
        text = option.help + (f" (default: {option.default})" if option.default else "")
        group.addoption(
            f"--codex-{option.name}",
            dest=f"codex_{option.key}",
            metavar=option.metavar,
            action="append" if option.repeatable else "store",
            default=None,
            help=text,
        )
        name = f"codex_{option.key}"
        if option.repeatable:
            parser.addini(name, text, type="linelist", default=[])
        else:
            parser.addini(name, text, type="string", default="")


def pytest_configure(config: pytest.Config) -> None:
    """
    Check the options before anything runs.
    """
    _misspelled.clear()
    for description in DESCRIPTIONS.values():
        config.addinivalue_line("markers", description)
    options = {option.key: config.getoption(f"codex_{option.key}", None) for option in OPTIONS}
    found = Config()
    try:
        ini = _read_ini(config)
        try:
            found = ResolvedOptions.of(options, spell="--codex-{}", ini=ini).config
        except (ConfigError, PolicyError) as error:
            if ini or any(options.values()):
                raise
            # Variables are for the command, too: they may not end runs that use no workspace.
            config.stash[_UNUSABLE] = error
        config.stash[_SHOWN_REPO] = str(found.repo)
        found = _absolute(config, found)
        if options["repo"] and not _is_worker(config) and not config.option.collectonly:
            _check_repository(found)
    except (ConfigError, PolicyError, ProjectionError) as error:
        raise pytest.UsageError(str(error)) from None
    worker = getattr(config, "workerinput", {})
    if found.report is not None and not _is_worker(config):
        _start_report(found.report)
    config.stash[_CONFIG] = replace(found, started=worker.get(_STARTED_KEY, found.started))
    config.stash[_ENVIRONMENT] = dict(os.environ)
    config.stash[_COUNTS] = {}
    config.stash[_KEPT] = []
    config.stash[_SETUPS] = {}


def _start_report(directory: Path) -> None:
    from .reports.collector import Collector

    Collector(directory, "", warnings.warn).begin()


def _absolute(config: pytest.Config, found: Config) -> Config:
    """
    Return *found* with absolute paths: a test may go to another directory.
    """
    start = config.invocation_params.dir
    changes: dict[str, Any] = {}
    if found.repo is not None:
        with suppress(RuntimeError):
            changes["repo"] = start / found.repo.expanduser()
    if found.report is not None:
        changes["report"] = start / found.report
    for option in OPTIONS:
        value = getattr(found, option.key)
        if option.name != "repo" and isinstance(value, str) and option.is_path(value):
            changes[option.key] = str(start / value)
    return replace(found, **changes)


def _check_repository(config: Config) -> None:
    from .projection.repository import open_repository

    if config.repo is not None:
        open_repository(config.repo, config.rev, environ=os.environ)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_collection_finish(session: pytest.Session) -> None:
    """
    Check the repository before the first test that uses it, once and not for each test.
    """
    config = session.config
    config.stash[_ENVIRONMENT] = dict(os.environ)
    used = [item for item in session.items if _uses_workspace(item) and not _is_skipped(item)]
    if not used or _is_worker(config) or config.option.collectonly:
        return
    try:
        if _UNUSABLE in config.stash:
            raise config.stash[_UNUSABLE]
        if not all(item.get_closest_marker("codex_repo") for item in used):
            _check_repository(config.stash[_CONFIG])
    except (ConfigError, PolicyError, ProjectionError) as error:
        raise pytest.UsageError(str(error)) from None


def _read_ini(config: pytest.Config) -> Values:
    found: Values = {}
    for option in OPTIONS:
        name = f"codex_{option.key}"
        source = Source("ini", name, config.inipath)
        value = _ini_value(config, option, source)
        if option.repeatable:
            found |= entries_of(option, value, source)
        elif value:
            text = _beside_ini(config, value) if option.is_path(value) else value
            found[option.key] = Given(text, source)
    return found


def _ini_value(config: pytest.Config, option: Option, source: Source) -> Any:
    """
    Return a text, or the list of texts of a repeatable option. In a TOML file of pytest's own
    tables, a number is a number and not text, and variables may be a table.
    """
    name = f"codex_{option.key}"
    try:
        return config.getini(name)
    except (TypeError, pytest.UsageError):
        if config.inipath is None or config.inipath.suffix != ".toml":
            raise
    table = tomllib.loads(config.inipath.read_text(encoding="utf-8"))
    value = table.get("pytest", table.get("tool", {}).get("pytest", {})).get(name)
    if option.repeatable and isinstance(value, Mapping):
        value = [f"{key}={one}" for key, one in value.items() if _is_plain(one)]
    if option.repeatable and isinstance(value, list) and all(map(_is_plain, value)):
        return list(map(str, value))
    if option.repeatable or not _is_plain(value):
        kind = "a list of texts" if option.repeatable else "text or a number"
        raise ConfigError(f"{source.spelled} is {value!r}; it must be {kind}")
    return str(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _beside_ini(config: pytest.Config, path: str) -> str:
    return str((config.inipath.parent if config.inipath else config.rootpath) / path)


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    """
    Return a line with the repository, the image, the cache mode and the network policy, and
    what of the work tree is not in workspaces.
    """
    found = config.stash[_CONFIG]
    if found.repo is None:
        return None
    network = found.network if isinstance(found.network, str) else found.network["name"]
    line = (
        f"codex: repo {config.stash[_SHOWN_REPO]} at {found.rev}, image {found.image}, "
        f"cache {found.cache}, network {network}"
    )
    return [line, *(f"codex: {note}" for note in _notes(config))]


def pytest_sessionstart(session: pytest.Session) -> None:
    """
    Look for what of the work tree is not in workspaces, before tests make files of their own.
    """
    _notes(session.config)


def _notes(config: pytest.Config) -> list[str]:
    """
    Return what of the work tree is not in workspaces. An xdist worker leaves it to the controller.
    """
    found = config.stash[_CONFIG]
    if found.repo is None or hasattr(config, "workerinput"):
        return []
    if _NOTES not in config.stash:
        from .projection.work_tree import notes_on

        config.stash[_NOTES] = [*found.notes, *notes_on(found.repo, found.rev, os.environ)]
    return config.stash[_NOTES]


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """
    Turn invalid marker arguments of a test with a workspace into a collection error.
    """
    made = yield
    for item in made if isinstance(made, list) else [made]:
        # The marks of other tests are their project's own, even if one is called cache_hit.
        if isinstance(item, pytest.Item) and _uses_workspace(item):
            try:
                read_markers(item.iter_markers())
            except ConfigError as error:
                message = f"{item.nodeid}: {error}"
                raise collector.CollectError(message) from None
    return made


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """
    Before the first test that needs it, make what is made once, outside of the time limit of that
    test and before any of its fixtures changes something. An error is raised again by the fixture.
    """
    if (
        _uses_workspace(item)
        and not _is_skipped(item)
        and not item.config.getoption("setupplan", default=False)
    ):
        with suppress(Exception), _as_started(item.config):
            _prepare(item)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """
    Forget an earlier attempt at this test, which a plugin may run again.
    """
    item.stash[_ATTEMPT] = item.stash.get(_ATTEMPT, 0) + 1
    item.stash[_FAILED] = False
    item.stash[_WORKSPACES] = []
    item.stash[_SHOWN] = {}
    item.stash[_BEGAN] = clock.wall_time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """
    Mark the time in which a report is that of a subtest.
    """
    __tracebackhide__ = True
    item.stash[_IN_CALL] = True
    try:
        return (yield)
    finally:
        item.stash[_IN_CALL] = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Add the state of its workspaces to the report of a failed test, fixture or subtest.
    """
    if call.excinfo is not None and not item.config.getoption("fulltrace", default=False):
        _cut_frames(call.excinfo.value)
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        if call.when == "setup" and _is_scope_mismatch(item, str(call.excinfo)):
            report.sections.append(("codex workspace", _SCOPE_HINT))
    in_subtest = item.stash.get(_IN_CALL, False)
    for workspace, reproduce in item.stash.get(_WORKSPACES, ()):
        if in_subtest or report.failed:
            _report_workspace(item, workspace, reproduce, report, in_subtest=in_subtest)
    if report.when == "teardown" or report.failed:
        _report_outcome(item, report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """
    Send the start time of the run to an xdist worker.
    """
    node.workerinput[_STARTED_KEY] = node.config.stash[_CONFIG].started


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """
    Add the counts and kept workspaces of an xdist worker to ours.
    """
    output = getattr(node, "workeroutput", {})
    _count(node.config, output.get(_COUNTS_KEY, {}))
    node.config.stash[_KEPT].extend(output.get(_KEPT_KEY, ()))
    node.config.stash[_SETUPS].update(output.get(_SETUPS_KEY, {}))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """
    Show what is running shortly before pytest-timeout ends the whole process, as its method
    `thread` does. It prints what was captured.
    """
    if settings.method == "thread" and _uses_workspace(item):
        timer = threading.Timer(settings.timeout * 0.95, _show_running, (item.config,))
        timer.daemon = True
        item.stash[_TIMER] = timer
        timer.start()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    """
    Stop waiting for the end of the time.
    """
    timer = item.stash.get(_TIMER, None)
    if timer is not None:
        timer.cancel()


def _show_running(config: pytest.Config) -> None:
    session = config.stash.get(_SESSION, None)
    for text in session.running() if session is not None else ():
        print(text, file=sys.stderr)  # noqa: T201 -- captured, and shown with the test


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """
    Show the line of the test that Ctrl-C interrupted, not ours.
    """
    _cut_frames(excinfo.value)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """
    End what no fixture has ended. Send the counts and kept workspaces of an xdist worker to the
    controller.
    """
    _close_session(session.config)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_COUNTS_KEY] = session.config.stash[_COUNTS]
        output[_KEPT_KEY] = session.config.stash[_KEPT]
        output[_SETUPS_KEY] = session.config.stash[_SETUPS]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """
    Write how often the cache was used, and which workspaces were kept.
    """
    for line in config.stash[_KEPT]:
        terminalreporter.write_line(line)
    for lines in config.stash[_SETUPS].values():
        for line in lines:
            terminalreporter.write_line(f"codex workspaces: {line}")
    collector = _collector(config, lambda line: terminalreporter.write_line(f"codex {line}"))
    if collector is not None:
        collector.write()
    for line in (*unknown_variables(os.environ, config.stash[_CONFIG].env), *_misspelled):
        terminalreporter.write_line(f"codex workspaces: {line}")
    counts = config.stash[_COUNTS]
    if counts:
        text = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
        terminalreporter.write_line(f"codex workspaces: cache {text}")
        # Again where a failure is read, and where there was no header.
        if terminalreporter.stats.keys() & {"failed", "error"} or config.get_verbosity() < 0:
            for note in _notes(config):
                terminalreporter.write_line(f"codex workspaces: {note}")


def pytest_warning_recorded(warning_message: Any) -> None:
    """
    Remember what to suggest in place of an ini option that pytest does not know.
    """
    found = _UNKNOWN_INI.match(str(warning_message.message))
    if found:
        known = [f"codex_{option.key}" for option in OPTIONS]
        _misspelled.append(f"unknown ini option {found[1]}{did_you_mean(found[1], known)}")


@pytest.fixture(scope="session")
def _codex_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    yield _session_of(request.config)
    _close_session(request.config)


@pytest.fixture(scope="session")
def codex_engine(request: pytest.FixtureRequest, _codex_session: Session) -> Engine:
    """
    Return the container engine of this run.
    """
    _refuse_parameter(request)
    with _as_started(request.config):
        return _codex_session.engine


@pytest.fixture(scope="session")
def codex_image(request: pytest.FixtureRequest, _codex_session: Session) -> str:
    """
    Return the tag of the base image, built if it was missing or out of date.
    """
    _refuse_parameter(request)
    with _as_started(request.config):
        return _codex_session.base_tag


@pytest.fixture(scope="session")
def codex_proxy(request: pytest.FixtureRequest, _codex_session: Session) -> Isolation:
    """
    Return the isolated network of this run and its proxy.
    """
    _refuse_parameter(request)
    with _as_started(request.config):
        return _codex_session.isolation


@pytest.fixture(scope="session")
def codex_repo(request: pytest.FixtureRequest) -> RepositorySnapshot:
    """
    Return the repository of `--codex-repo` at `--codex-rev`. Skip the test without one.
    """
    _refuse_parameter(request)
    config = request.config.stash[_CONFIG]
    if config.repo is None:
        pytest.skip(
            "no repository to project: give --codex-repo=PATH (or codex_repo in the ini file, "
            "or @pytest.mark.codex_repo)"
        )
    session: Session = request.getfixturevalue("_codex_session")
    with _as_started(request.config):
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
    policy: PolicyLike = getattr(request, "param", request.config.stash[_CONFIG].network)
    return policy


@pytest.fixture
def codex_workspace_factory(
    request: pytest.FixtureRequest, codex_env: dict[str, str], codex_network_policy: PolicyLike
) -> Iterator[WorkspaceFactory]:
    """
    Return a function that starts workspaces. Its keywords are `rev` and the names of
    the markers (`cache_hit`, `cache_miss`, `codex_repo`, `codex_env`, `codex_network`,
    `codex_cassette`, `codex_setup`), with or without `codex_`. Each workspace is
    removed after the test.
    """
    _refuse_parameter(request)
    start = _Starter(request, codex_env, codex_network_policy)

    def make(**keywords: Unpack[Keywords]) -> Workspace:
        __tracebackhide__ = True
        return start(read_keywords(keywords))

    try:
        yield make
    finally:
        start.stop_all()


@pytest.fixture
def codex_workspace(
    request: pytest.FixtureRequest, codex_env: dict[str, str], codex_network_policy: PolicyLike
) -> Iterator[Workspace]:
    """
    Return a workspace of the repository's HEAD, in the state that the test's markers
    request, and the parameter of `parametrize(..., indirect=True)`: a dict with the keywords of
    `codex_workspace_factory`.
    """
    __tracebackhide__ = True
    wanted = _wanted(request)
    start = _Starter(request, codex_env, codex_network_policy)
    try:
        yield start(wanted)
    finally:
        start.stop_all()


def _wanted(request: pytest.FixtureRequest) -> WorkspaceRequest:
    __tracebackhide__ = True
    wanted = read_markers(request.node.iter_markers())
    if not hasattr(request, "param"):
        return wanted
    if not isinstance(request.param, Mapping):
        raise ConfigError(
            f"the parameter of codex_workspace is {request.param!r}; it must be a dict with "
            "keywords of codex_workspace_factory, such as {'env': {'NAME': 'value'}}"
        )
    return wanted.changed_by(read_keywords(request.param))


def _refuse_parameter(request: pytest.FixtureRequest) -> None:
    __tracebackhide__ = True
    if hasattr(request, "param"):
        raise ConfigError(
            f"the fixture {request.fixturename} takes no parameter, but has {request.param!r}: "
            "of our fixtures, codex_workspace, codex_env and codex_network_policy take one"
        )


class _Starter:
    """
    Starts and stops the workspaces of one fixture.
    """

    def __init__(
        self, request: pytest.FixtureRequest, env: dict[str, str], policy: PolicyLike
    ) -> None:
        self._request = request
        self._policy = policy
        self._env = check_environment(env, "the fixture codex_env")
        self._config = request.config.stash[_CONFIG]
        self._session: Session | None = None
        self._started: list[Workspace] = []

    def __call__(self, wanted: WorkspaceRequest) -> Workspace:
        __tracebackhide__ = True
        from .errors import CodexWorkspaceError

        request = self._request
        if _UNUSABLE in request.config.stash:
            raise request.config.stash[_UNUSABLE]
        try:
            if wanted.repo is None and wanted.rev is None:
                snapshot = request.getfixturevalue("codex_repo")
            else:
                snapshot = self._other_repository(wanted)
            session: Session = request.getfixturevalue("_codex_session")
            self._session = session
            env = {**self._config.env, **self._env, **wanted.env}
            with _as_started(request.config):
                policy = self._policy_of(session, wanted)
                spec = session.spec(snapshot, env, policy=policy, cassette=wanted.cassette)
                workspace = session.workspace(spec, wanted.state, label=request.node.nodeid)
        except CodexWorkspaceError as error:
            # The text is sufficient, and our frames would hide it.
            raise error.with_traceback(None) from None
        self._started.append(workspace)
        state = {"clean": "clean"}.get(wanted.state, "ready")
        reproduce = (
            f"codex-workspace shell {shlex.quote(str(snapshot.path))} "
            f"--rev={snapshot.head[:12]} --image={shlex.quote(self._config.image)} --from={state}"
        )
        request.node.stash.setdefault(_WORKSPACES, []).append((workspace, reproduce))
        _count(request.config, {workspace.setup.cache: 1})
        _note_setup(request.config, snapshot.name, workspace.setup)
        request.node.user_properties += [
            ("codex_repo", snapshot.name),
            ("codex_commit", workspace.head),
            ("codex_image", self._config.image),
            ("codex_cache", workspace.setup.cache),
        ]
        return workspace

    def _policy_of(self, session: Session, wanted: WorkspaceRequest) -> Policy:
        beside = self._request.path.parent
        policy = None
        for changes in wanted.network:
            fields = {key: value for key, value in changes.items() if key != "policy"}
            if "policy" in changes:
                policy = session.policies.read(changes["policy"], beside)
            elif policy is None:
                policy = session.read_policy(self._policy)
            policy = session.policies.combine(policy, fields, "codex_network")
        return policy or session.read_policy(self._policy)

    def stop_all(self) -> None:
        node = self._request.node
        failed = node.stash.get(_FAILED, False)
        keep = self._config.keep == "always" or (failed and self._config.keep == "failed")
        with ExitStack() as stops:
            for workspace in self._started:
                stops.callback(self._stop, workspace, keep)

    def _stop(self, workspace: Workspace, keep: bool) -> None:
        assert self._session is not None  # noqa: S101 -- it made the workspace
        with _as_started(self._request.config):
            node = self._request.node
            kept = self._session.stop(workspace, keep=keep)
        node.user_properties.append(("codex_blocked", len(workspace.network.blocked)))
        if kept:
            program = self._session.engine.version()["name"]
            attempt = node.stash.get(_ATTEMPT, 1)
            which = f" (attempt {attempt})" if attempt > 1 else ""
            self._request.config.stash[_KEPT].append(
                f"codex workspaces: {node.nodeid}{which} is kept; inspect it with: "
                f"{program} run --rm -it --network none --entrypoint bash {kept} --login"
            )

    def _other_repository(self, wanted: WorkspaceRequest) -> RepositorySnapshot:
        request = self._request
        repo = wanted.repo or request.getfixturevalue("codex_repo").path
        session: Session = request.getfixturevalue("_codex_session")
        with _as_started(request.config):
            return session.repository(request.path.parent / repo, wanted.rev or "HEAD")


def _session_of(config: pytest.Config) -> Session:
    """
    Return the session of this run. The first call makes it.
    """
    from .host.signals import EndingSignals
    from .reporting.output import Output
    from .session import Session

    if _SESSION not in config.stash:
        ends = config.stash[_ENDS] = ExitStack()
        # pytest tears down after Ctrl-C, but not after the other signals that ask it to end.
        signals = EndingSignals((signal.SIGTERM, signal.SIGHUP))
        ends.callback(_end_by_signal, signals)
        ends.enter_context(signals)
        output = Output(config.stash[_CONFIG].output, _writer(config))
        with _as_started(config):
            config.stash[_SESSION] = Session(
                config.stash[_CONFIG], output, report=_collector(config, output.note)
            )
        ends.callback(config.stash[_SESSION].close)
    return config.stash[_SESSION]


def _collector(config: pytest.Config, tell: Callable[[str], None]) -> Collector | None:
    from .reports.collector import Collector

    found = config.stash[_CONFIG]
    if found.report is None:
        return None
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    return Collector(found.report, found.image, tell, worker)


def _note_setup(config: pytest.Config, name: str, setup: SetupResult) -> None:
    """
    Remember what went wrong on the network during a setup that succeeded, once for each.
    """
    from .network.problems import problems_of

    problems = problems_of(setup.requests)
    if problems:
        title = f"warning: setup-script.sh of {name} succeeded, but on the network went wrong:"
        lines = [title, *(f"  {problem}" for problem in problems[:_PROBLEMS])]
        if len(problems) > _PROBLEMS:
            lines.append(f"  ... {len(problems) - _PROBLEMS} more")
        config.stash[_SETUPS][setup.key or name] = lines


def _close_session(config: pytest.Config) -> None:
    if _SESSION in config.stash:
        ends = config.stash[_ENDS]
        del config.stash[_SESSION], config.stash[_ENDS]
        with _as_started(config):
            ends.close()


def _end_by_signal(signals: EndingSignals) -> None:
    """
    Have pytest end by the signal that it was torn down for, once it has written its summary.
    """
    if signals.received is not None:
        atexit.register(_die_by, signals.received)


def _die_by(number: int) -> None:
    from .host.signals import die_by

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    die_by(number)


@contextmanager
def _as_started(config: pytest.Config) -> Iterator[None]:
    """
    Work with the variables and in the directory that tests were started with. What a test has
    changed is back afterwards.
    """
    first = config.stash[_ENVIRONMENT]
    # Files in memory, in place of this machine's: pyfakefs replaces `os` in every module.
    fakes = sys.modules.get("pyfakefs.fake_filesystem_unittest")
    patcher = getattr(getattr(fakes, "Patcher", None), "PATCHER", None)
    if patcher is not None and patcher.fs is not None and patcher.is_patching:
        patcher.pause()
        try:
            with _as_started(config):
                yield
        finally:
            patcher.resume()
        return
    # pytest sets the names of the running test.
    changed = {
        name: os.environ.get(name)
        for name in first.keys() | os.environ.keys()
        if os.environ.get(name) != first.get(name) and not name.startswith("PYTEST_")
    }
    with ExitStack() as undo:
        here = os.open(".", os.O_RDONLY)
        undo.callback(os.close, here)
        undo.callback(os.fchdir, here)
        undo.callback(_set_variables, changed)
        os.chdir(config.invocation_params.dir)
        _set_variables({name: first.get(name) for name in changed})
        yield


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _prepare(item: pytest.Item) -> None:
    """
    Make what the workspace of *item* starts from, as far as it is known before its fixtures run.
    """
    config = item.config.stash[_CONFIG]
    parameters: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    wanted = WorkspaceRequest()
    if "codex_workspace" in item.fixturenames:  # type: ignore[attr-defined]
        wanted = read_markers(item.iter_markers())
        if "codex_workspace" in parameters:
            wanted = wanted.changed_by(read_keywords(parameters["codex_workspace"]))
    repo = config.repo if wanted.repo is None else item.path.parent / wanted.repo
    if repo is None:
        if "codex_workspace" in item.fixturenames:  # type: ignore[attr-defined]
            return  # The test is skipped.
        _session_of(item.config).prepare()
        return
    session = _session_of(item.config)
    if _is_overridden(item, "codex_env") or config.cassette != "off":
        session.prepare()
        return
    default = config.rev if wanted.repo is None else "HEAD"
    env = {**config.env, **parameters.get("codex_env", {}), **wanted.env}
    snapshot = session.repository(repo, wanted.rev or default)
    session.prepare(session.spec(snapshot, env), wanted.state)


def _is_overridden(item: pytest.Item, fixture: str) -> bool:
    """
    Return whether a project has its own fixture in place of ours.
    """
    found = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get(fixture, ())
    return any(one.func.__module__ != __name__ for one in found)


def _is_skipped(item: pytest.Item) -> bool:
    """
    Return whether *item* may be skipped: a condition that is text is not evaluated here.
    """
    if item.get_closest_marker("skip"):
        return True
    return any(any(mark.args) for mark in item.iter_markers("skipif"))


def _cut_frames(error: BaseException) -> None:
    """
    Remove our frames from the end of a traceback that a user's frame leads to, if the error is for
    the user: one of ours, or an interruption from outside.
    """
    from .errors import CodexWorkspaceError

    if isinstance(error, Exception) and not isinstance(error, CodexWorkspaceError):
        return
    caller, entry = None, error.__traceback__
    while entry is not None:
        module = _module_of(entry)
        if module.startswith(f"{__package__}.") and caller is not None:
            if _module_of(caller) == "_pytest.fixtures":
                entry.tb_next = None  # Our fixture.
                return
            if not _module_of(caller).startswith((f"{__package__}.", "_pytest.", "pluggy.")):
                caller.tb_next = None
                return
        caller, entry = entry, entry.tb_next


def _module_of(entry: TracebackType) -> str:
    return str(entry.tb_frame.f_globals.get("__name__", ""))


def _is_scope_mismatch(item: pytest.Item, text: str) -> bool:
    return _uses_workspace(item) and "ScopeMismatch" in text


def _uses_workspace(item: pytest.Item) -> bool:
    return not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def _count(config: pytest.Config, counts: Mapping[str, int]) -> None:
    total = config.stash[_COUNTS]
    for name, number in counts.items():
        total[name] = total.get(name, 0) + number


def _report_workspace(
    item: pytest.Item,
    workspace: Workspace,
    reproduce: str,
    report: pytest.TestReport,
    *,
    in_subtest: bool,
) -> None:
    """
    Add a section on *workspace* to the report of a failure: to a subtest's report with what
    happened since the subtest before, to any other report with all of it.
    """
    from .reports.section import failure_section, position_in

    since = None
    if in_subtest:
        shown = item.stash[_SHOWN]
        since, shown[workspace.container] = shown.get(workspace.container), position_in(workspace)
    if report.failed:
        text = failure_section(workspace, reproduce, since)
        # A part of the failure, which every reporter shows: JUnit and others leave sections out.
        add = getattr(report.longrepr, "addsection", None)
        if add is not None:
            add("codex workspace", text)
        else:
            report.sections.append(("codex workspace", text))


def _report_outcome(item: pytest.Item, report: pytest.TestReport) -> None:
    """
    Add the outcome of a test that used a workspace to the report of the run.
    """
    session = item.config.stash.get(_SESSION, None)
    if session is None or session.report is None or not item.stash.get(_WORKSPACES, ()):
        return
    if not report.failed and item.stash[_FAILED]:
        return  # It was added when it failed.
    began = item.stash[_BEGAN]
    message = report.longreprtext.strip().splitlines()[-1:] if report.failed else []
    outcome = "failed" if report.failed else "passed"
    session.report.test(item.nodeid, outcome, began, clock.wall_time() - began, "".join(message))


def _writer(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        return _worker_writer(worker["workerid"], capture)
    if reporter is None or capture is None:
        return lambda _: None

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)
            reporter.flush()

    return write


def _worker_writer(name: str, capture: Any) -> Callable[[str], None]:
    """
    Return a function that writes lines from an xdist worker. A worker has no terminal, but
    its standard error is the controller's. Its messages (such as waiting for the setup of
    another worker) appear among the dots.
    """

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            os.write(2, f"[{name}] {line}\n".encode(errors="replace"))

    return write
