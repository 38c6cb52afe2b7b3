"""The pytest plugin: hooks, options, markers and fixtures.

Fixtures import the modules that use an engine, so that this plugin does not slow
down runs without workspaces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from .errors import ConfigError, PolicyError
from .options.config import Config, check_environment
from .options.markers import DESCRIPTIONS, WorkspaceRequest, read_keywords, read_markers
from .options.sources import Given, ResolvedOptions, Source, Values, entries_of
from .options.table import OPTIONS

if TYPE_CHECKING:
    from .engine.protocol import Engine
    from .network.isolation import Isolation
    from .network.policy_reader import PolicyLike
    from .network.rules.policy import Policy
    from .projection.repository import RepositorySnapshot
    from .session import Session
    from .workspace.handle import Workspace

_CONFIG = pytest.StashKey[Config]()
_FAILED = pytest.StashKey[bool]()
_WORKSPACES: pytest.StashKey[list[Workspace]] = pytest.StashKey()
_COUNTS: pytest.StashKey[dict[str, int]] = pytest.StashKey()
_KEPT: pytest.StashKey[list[str]] = pytest.StashKey()
_COUNTS_KEY = "codex_workspace_counts"
_KEPT_KEY = "codex_workspace_kept"
_STARTED_KEY = "codex_workspace_started"


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
    for description in DESCRIPTIONS.values():
        config.addinivalue_line("markers", description)
    options = {option.key: config.getoption(f"codex_{option.key}", None) for option in OPTIONS}
    try:
        found = ResolvedOptions.of(options, spell="--codex-{}", ini=_read_ini(config)).config
    except (ConfigError, PolicyError) as error:
        raise pytest.UsageError(str(error)) from None
    worker = getattr(config, "workerinput", {})
    config.stash[_CONFIG] = replace(found, started=worker.get(_STARTED_KEY, found.started))
    config.stash[_COUNTS] = {}
    config.stash[_KEPT] = []


def _read_ini(config: pytest.Config) -> Values:
    found: Values = {}
    for option in OPTIONS:
        name = f"codex_{option.key}"
        value = config.getini(name)
        source = Source("ini", name, config.inipath)
        if option.repeatable:
            found |= entries_of(option, value, source)
        elif value:
            text = _beside_ini(config, value) if option.is_path(value) else value
            found[option.key] = Given(text, source)
    return found


def _beside_ini(config: pytest.Config, path: str) -> str:
    return str((config.inipath.parent if config.inipath else config.rootpath) / path)


def pytest_report_header(config: pytest.Config) -> str | None:
    """
    Return a line with the repository, the image, the cache mode and the network policy.
    """
    found = config.stash[_CONFIG]
    if found.repo is None:
        return None
    network = found.network if isinstance(found.network, str) else found.network["name"]
    return (
        f"codex: repo {found.repo} at {found.rev}, image {found.image}, cache {found.cache}, "
        f"network {network}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """
    Turn invalid marker arguments into a collection error.
    """
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Item):
            try:
                read_markers(item.iter_markers())
            except ConfigError as error:
                message = f"{item.nodeid}: {error}"
                raise collector.CollectError(message) from None
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Add the state of its workspaces to the report of a failed test.
    """
    if call.when == "call" and call.excinfo is not None:
        for workspace in item.stash.get(_WORKSPACES, []):
            _add_section(item, workspace)
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """
    Send the counts and kept workspaces of an xdist worker to the controller.
    """
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_COUNTS_KEY] = session.config.stash[_COUNTS]
        output[_KEPT_KEY] = session.config.stash[_KEPT]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """
    Write how often the cache was used, and which workspaces were kept.
    """
    for line in config.stash[_KEPT]:
        terminalreporter.write_line(line)
    counts = config.stash[_COUNTS]
    if counts:
        text = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
        terminalreporter.write_line(f"codex workspaces: cache {text}")


@pytest.fixture(scope="session")
def _codex_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    from .reporting.output import Output
    from .session import Session

    config = request.config
    output = Output(config.stash[_CONFIG].output, _writer(config))
    with Session(config.stash[_CONFIG], output) as session:
        yield session


@pytest.fixture(scope="session")
def codex_engine(_codex_session: Session) -> Engine:
    """
    Return the container engine of this run.
    """
    return _codex_session.engine


@pytest.fixture(scope="session")
def codex_image(_codex_session: Session) -> str:
    """
    Return the tag of the base image, built if it was missing or out of date.
    """
    return _codex_session.base_tag


@pytest.fixture(scope="session")
def codex_proxy(_codex_session: Session) -> Isolation:
    """
    Return the isolated network of this run and its proxy.
    """
    return _codex_session.isolation


@pytest.fixture(scope="session")
def codex_repo(request: pytest.FixtureRequest) -> RepositorySnapshot:
    """
    Return the repository of `--codex-repo` at `--codex-rev`. Skip the test without one.
    """
    config = request.config.stash[_CONFIG]
    if config.repo is None:
        pytest.skip(
            "no repository to project: give --codex-repo=PATH (or codex_repo in the ini file, "
            "or @pytest.mark.codex_repo)"
        )
    session: Session = request.getfixturevalue("_codex_session")
    return session.repository(config.repo, config.rev)


@pytest.fixture
def codex_env() -> dict[str, str]:
    """
    Return variables for every workspace. Override this fixture in a `conftest.py`.
    """
    return {}


@pytest.fixture
def codex_network_policy(request: pytest.FixtureRequest) -> PolicyLike:
    """
    Return the network policy of every workspace: a policy, its fields, its name, or
    its path. Override this fixture in a `conftest.py`.
    """
    return request.config.stash[_CONFIG].network


@pytest.fixture
def codex_workspace_factory(
    request: pytest.FixtureRequest, codex_env: dict[str, str], codex_network_policy: PolicyLike
) -> Iterator[Callable[..., Workspace]]:
    """
    Return a function that starts workspaces. Its keywords are `rev` and the names of
    the markers (`cache_hit`, `cache_miss`, `codex_repo`, `codex_env`, `codex_network`,
    `codex_cassette`, `codex_setup`), with or without `codex_`. Each workspace is
    removed after the test.
    """
    start = _Starter(request, codex_env, codex_network_policy)
    try:
        yield lambda **keywords: start(read_keywords(keywords))
    finally:
        start.stop_all()


@pytest.fixture
def codex_workspace(
    request: pytest.FixtureRequest, codex_env: dict[str, str], codex_network_policy: PolicyLike
) -> Iterator[Workspace]:
    """
    Return a workspace of the repository's HEAD, in the state that the test's markers
    request.
    """
    __tracebackhide__ = True
    start = _Starter(request, codex_env, codex_network_policy)
    try:
        yield start(read_markers(request.node.iter_markers()))
    finally:
        start.stop_all()


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
        try:
            if wanted.repo is None and wanted.rev is None:
                snapshot = request.getfixturevalue("codex_repo")
            else:
                snapshot = self._other_repository(wanted)
            session: Session = request.getfixturevalue("_codex_session")
            self._session = session
            env = {**self._config.env, **self._env, **wanted.env}
            policy = self._policy_of(session, wanted)
            spec = session.spec(snapshot, env, policy=policy, cassette=wanted.cassette)
            workspace = session.workspace(spec, wanted.state)
        except CodexWorkspaceError as error:
            # The text is sufficient, and our frames would hide it.
            raise error.with_traceback(None) from None
        self._started.append(workspace)
        request.node.stash.setdefault(_WORKSPACES, []).append(workspace)
        _count(request.config, {workspace.setup.cache: 1})
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
        kept = self._session.stop(workspace, keep=keep)
        if kept:
            program = self._session.engine.version()["name"]
            self._request.config.stash[_KEPT].append(
                f"codex workspaces: {self._request.node.nodeid} is kept; inspect it with: "
                f"{program} run --rm -it --network none --entrypoint bash {kept} --login"
            )

    def _other_repository(self, wanted: WorkspaceRequest) -> RepositorySnapshot:
        request = self._request
        repo = wanted.repo or request.getfixturevalue("codex_repo").path
        session: Session = request.getfixturevalue("_codex_session")
        return session.repository(request.path.parent / repo, wanted.rev or "HEAD")


def _count(config: pytest.Config, counts: Mapping[str, int]) -> None:
    total = config.stash[_COUNTS]
    for name, number in counts.items():
        total[name] = total.get(name, 0) + number


def _add_section(item: pytest.Item, workspace: Workspace) -> None:
    from .errors import CodexWorkspaceError
    from .text.phrases import counted

    try:
        blocked = workspace.network.blocked
    except CodexWorkspaceError as error:
        lines = [f"no network log: {error}"]
    else:
        lines = [counted(len(blocked), "blocked request"), *map(str, blocked[-20:])]
    lines.insert(0, f"{workspace!r}, cache {workspace.setup.cache}")
    item.add_report_section("call", "codex workspace", "\n".join(lines))


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
