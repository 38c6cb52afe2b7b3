"""One run: its parts, and the workspaces that are started with them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from .cache.neighbours import Neighbours
from .cache.provenance import CachedSetups
from .cache.registry import SharedCache
from .cache.store import LayerStore
from .cache.usage import usage_on
from .codex import IMAGE
from .engine.docker.find import find_engine
from .engine.outage import RESTART, Outage
from .engine.protocol import Engine, ImageInfo
from .engine.session_id import Identity
from .engine.sweep import keep_newest, remove_session, sweep
from .errors import CodexWorkspaceError, EngineError, EngineUnavailable, ProxyError, SetupError
from .host import certificates
from .host.dirs import cache_dir
from .host.own_addresses import own_addresses
from .host.prune import prune_cache_dir
from .images import base
from .images.debian import ensure_debian
from .images.proxy import ensure_proxy_image, find_proxy_image
from .network.cassettes import Cassettes
from .network.isolation import Isolation, ProxySettings
from .network.policy_reader import PolicyLike, PolicyReader
from .network.rules.policy import HTTPS_ONLY, SAFE_METHODS, Policy
from .network.rules.upstream import InvalidUpstream, UpstreamProxy, choose
from .options.config import Config
from .options.profiles import profile_named
from .options.run_notes import describe_history, describe_scripts
from .options.script_text import GivenScripts
from .projection.repository import RepositorySnapshot, Tag, find_tags, open_repository
from .projection.work_tree import notes_on
from .reporting.output import Output
from .reports.collector import Collector
from .secrets.network import NetworkSecrets
from .secrets.secrets import Secrets
from .setup.layers import LayerBuilder
from .setup.package_registries import read_registries
from .setup.scope import scope_of
from .setup.scripts import ScriptRunner
from .setup.spec import State, WorkspaceSpec, as_in_settings
from .setup.start import SessionSnapshot, StartedWorkspace, WorkspaceStarter
from .setup.verify import changes_of_second_resume
from .snapshots.keeper import SnapshotKeeper
from .snapshots.prepared import PreparedStates, StateName
from .snapshots.snapshot import Snapshot
from .text.loggers import logger_of
from .workspace.handle import Workspace
from .workspace.launcher import Launcher
from .workspace.limits import limits_of

__all__ = ["Session"]

_LOG = logger_of(__name__)

T = TypeVar("T")

_ABANDONING = 20.0
"""Seconds to close what is left of an engine that does not answer."""

_KEPT = 50
"""Images of workspaces that are kept for inspection."""

_CLOSING_ORDER = (
    "workspaces",
    "spare",
    "releases",  # A request is recorded when its workspace is gone.
    "cassettes",
    "projections",
    "isolation",
    "sweep",
    "objects",  # Layers can be removed only when the containers that use them are gone.
    "snapshots",
    "layers",
    "engine",
)
"""What a session closes, in this order, as far as it was opened."""


class _part(Generic[T]):  # noqa: N801 -- a decorator
    """
    A part of a session. The first thread that asks for it makes it, and others wait: from Python
    3.12 on, `cached_property` gives each thread an engine and a proxy of its own.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, session: Session, owner: type[Session]) -> T:
        parts, name = vars(session), self._make.__name__
        # Once it is there, the instance's own attribute comes before this.
        with session._lock:
            if name not in parts:
                parts[name] = self._make(session)
            part: T = parts[name]
            return part


class Session:
    """
    What one process shares between its workspaces, and the workspaces.

    Each part is made on first use. Leaving the context removes all of them but
    the caches.

    Args:
        config: the options.
        output: shows progress.
        connect: finds the engine that an option names.
        report: takes what becomes of each workspace.

    Example:
        >>> with Session(config, output) as session:  # doctest: +SKIP
        ...     spec = session.spec(session.repository("."), {})
        ...     workspace = session.workspace(spec, "ready")
    """

    def __init__(
        self,
        config: Config,
        output: Output,
        *,
        connect: Callable[[str], Engine] = find_engine,
        report: Collector | None = None,
    ) -> None:
        self.config = config
        self.output = output
        self.secrets = Secrets(config.secret, os.environ)
        self.network_secrets = NetworkSecrets(config.network_secret, os.environ)
        self.identity = Identity()
        self.report = report
        self._connect = connect
        self._lock = threading.RLock()
        # Where there is another engine, nobody waits for this one.
        self._outage = Outage(0.0 if config.engines else RESTART)
        self._lost_engines: set[str] = set()
        self._suspects_loss = False
        self._closers: dict[str, Callable[[], None]] = {"workspaces": self._end_all}
        self._failures: dict[str, CodexWorkspaceError] = {}
        self._looked: dict[tuple[str, str], tuple[GivenScripts, tuple[Tag, ...] | None]] = {}
        self._ahead: threading.Thread | None = None
        self._live: dict[str, tuple[StartedWorkspace, str]] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        End every workspace, and remove what is not a cache. An error of the
        clean-up is raised at its end, unless another error is on its way.
        """
        interrupted = sys.exc_info()[1] is not None
        errors: list[BaseException] = []
        _LOG.debug("session %s ends", self.identity.id)
        with self.output.step("removing the workspaces", announced=False):
            for part in _CLOSING_ORDER:
                try:
                    self._closers.pop(part, _nothing)()
                except BaseException as error:
                    errors.append(error)
        if errors and not interrupted:
            raise errors[0]

    def workspace(
        self, spec: WorkspaceSpec, state: State | Snapshot, *, label: str = ""
    ) -> Workspace:
        """
        Start a workspace.

        Args:
            spec: what it is made of.
            state: what it starts from.
            label: what wants it, for the report.

        Raises:
            CodexWorkspaceError: one of the parts could not be made.
        """
        with self._noting_failure(spec, label):
            return self._start(spec, state, label).workspace

    def prepared(
        self,
        name: StateName,
        spec: WorkspaceSpec,
        state: State,
        prepare: Callable[[Workspace], object],
    ) -> Snapshot:
        """
        Return a snapshot that *prepare* has prepared, in this call or an earlier one; with a key,
        maybe in an earlier run.

        Args:
            name: what users call it.
            spec: what the workspace is made of in which it is prepared.
            state: what that workspace starts from.
            prepare: changes that workspace.

        Raises:
            CodexWorkspaceError: one of the parts could not be made. What *prepare* raises is raised
                again by later calls.
        """

        @contextmanager
        def fill() -> Iterator[Workspace]:
            started = self._start(spec, state, str(name))
            try:
                prepare(started.workspace)
                # As after a setup script: files are kept, processes are not.
                started.running.channel.kill_all()
                yield started.workspace
            finally:
                self.stop(started.workspace)

        def make() -> Snapshot:
            with self._lock, self._noting_failure(spec, str(name)):
                if name.key is None or self.config.cache == "off":
                    with fill() as workspace:
                        made = workspace.snapshot()
                    self.keeper.pin(made)
                else:
                    _check_secrets(spec, state)
                    made = self._retried(lambda: self.starter.prepared(spec, state, name, fill))
                    self.keeper.adopt(made)
                return made

        return self.prepared_states.get((name, spec, state), make)

    @contextmanager
    def _noting_failure(self, spec: WorkspaceSpec, label: str) -> Iterator[None]:
        try:
            yield
        except CodexWorkspaceError as error:
            if isinstance(error, SetupError):
                self.tell_failed_setup(spec, label, error)
            self._suspect_loss(error)
            raise

    def tell_failed_setup(self, spec: WorkspaceSpec, label: str, error: SetupError) -> None:
        """
        Add a workspace that did not come up, because its setup failed, to the report.
        """
        if self.report is not None:
            self.report.failed_setup(spec.snapshot.name, spec.snapshot.head, label, error)

    def adopt(self, started: StartedWorkspace, label: str) -> None:
        """
        Let a workspace that `starter` has started be one of this session, which `stop` ends and
        adds to the report.
        """
        with self._lock:
            self._live[started.workspace.id] = started, label
            _LOG.debug("workspace %.12s is up (%s)", started.workspace.id, label or "no label")
            if self.report is not None:
                self.report.begun(started.workspace, label)

    def _start(
        self, spec: WorkspaceSpec, state: State | Snapshot, label: str = ""
    ) -> StartedWorkspace:
        def start() -> StartedWorkspace:
            if isinstance(state, Snapshot):
                return self.starter.fork(spec, state)
            return self.starter.start(spec, state)

        if not isinstance(state, Snapshot):
            _check_secrets(spec, state)
        with self._lock:
            with self.output.step(f"starting a workspace of {spec.snapshot.name}", announced=False):
                started = self._retried(start)
            self.adopt(started, label)
            return started

    def prepare_another(self, workspace: Workspace) -> None:
        """
        Start a container in the background for another workspace like *workspace*: of the same
        files and variables, before any command has run in it. At most one is there at a time, and
        the next workspace takes it if it is of that kind.
        """
        live = self._live.get(workspace.id)
        # Where each workspace has an image of its own, no other starts from it.
        if live is not None and not any(layer.single_use for layer in live[0].layers):
            self.launcher.prepare_another(live[0].running)

    def prepare(self, spec: WorkspaceSpec | None = None, state: State = "ready") -> None:
        """
        Make what takes long and is made once: the images, the proxy, and the layers that a
        workspace of *spec* starts from.

        Raises:
            CodexWorkspaceError: one of the parts could not be made.
        """
        if spec is not None:
            _check_secrets(spec, state)
        with self._lock:
            try:
                if not self.config.cache_registry:
                    # Where another machine's setup is found, the base image may not be needed.
                    _ = self.image
                self._retried(lambda: self._prepare(spec, state))
            except CodexWorkspaceError as error:
                self._suspect_loss(error)
                raise

    def _prepare(self, spec: WorkspaceSpec | None, state: State) -> None:
        if spec is not None:
            self.starter.prepare(spec, state)

    def _retried(self, make: Callable[[], T]) -> T:
        """
        Return what *make* returns, with a network that works: an engine that is restarted in
        between ends all containers.
        """
        _ = self.engine  # The first connection does not wait for an engine.

        def once() -> T:
            self.isolation.revive()
            return make()

        return self._outage.retry(once)

    def stop(self, workspace: Workspace, *, keep: bool = False) -> str | None:
        """
        End a workspace. With *keep*, make an image of its files first.

        Args:
            workspace: the workspace.
            keep: whether to make an image.

        Returns:
            Name of the image, if one was made.
        """
        live = self._live.pop(workspace.id, None)
        if live is None:
            return None
        # What a test has lost is only known when it has ended.
        self._suspects_loss = self._suspects_loss or bool(workspace.commands.lost)
        with ExitStack() as ends:
            ends.callback(self._end, *live)
            container = workspace.container
            if not keep or self.engine.container(container) is None:
                return None
            tag = f"{IMAGE}:kept-{container[:12]}"
            with self.output.step(f"keeping {workspace.project} as an image", announced=False):
                self.engine.commit(container, tag=tag, labels=self.identity.labels("kept"))
            keep_newest(self.engine, "kept", _KEPT)
            return tag

    def running(self) -> list[str]:
        """
        Return what each command that is waited for has printed so far.
        """
        every = list(self._live.values())
        return [text for started, _ in every for text in started.running.channel.running()]

    def _end_all(self) -> None:
        with ExitStack() as ends:
            for live in self._live.values():
                ends.callback(self._end, *live)
            self._live.clear()

    def _end(self, started: StartedWorkspace, label: str) -> None:
        """
        End a workspace, whose network log can still be read, and add it to the report.
        """
        try:
            last = self.launcher.last_requests(started.running)
            started.workspace.network.end([*started.before, *last])
            if self.report is not None:
                self.report.workspace(started.workspace, label)
        finally:
            self.launcher.stop(started.running, lambda: self.store.discard(started.layers))

    def repeat_resume(self, spec: WorkspaceSpec) -> list[str]:
        """
        Return what a second run of `setup-from-cache-script.sh` changes, one
        line for each path.

        Raises:
            SetupError: the script fails when it runs again.
        """
        # What services write would be taken for changes of the script.
        spec = replace(spec, services=())
        pristine, repeated = self._start(spec, "ready"), self._start(spec, "ready")
        return changes_of_second_resume(
            *(self.engine, self.launcher, self.runner, spec), repeated=repeated, pristine=pristine
        )

    @staticmethod
    def repository(path: str | Path, rev: str = "HEAD") -> RepositorySnapshot:
        """
        Return a repository at a commit.

        Raises:
            ProjectionError: the commit cannot be projected.
        """
        return open_repository(path, rev, environ=os.environ)

    @staticmethod
    def repository_of(snapshot: Snapshot) -> RepositorySnapshot:
        """
        Return the repository at the commit of a snapshot.

        Raises:
            SnapshotError: a test has made the snapshot itself.
        """
        return SessionSnapshot.of(snapshot).source

    def tell_notes(self) -> None:
        """
        Show what of the user's work tree is not in workspaces.
        """
        if self.config.repo is not None and self.output.mode != "quiet":
            more = notes_on(self.config.repo, self.config.rev, os.environ)
            for note in (*self.config.notes, *more):
                self.output.note(note)

    def spec(
        self,
        snapshot: RepositorySnapshot,
        env: Mapping[str, str],
        *,
        policy: Policy | None = None,
        cassette: str | None = None,
    ) -> WorkspaceSpec:
        """
        Return what a workspace is made of, by the options of the run.

        Args:
            snapshot: the commit to project.
            env: variables besides Codex's.
            policy: what it may reach; by default the policy of the options.
            cassette: the cassette of what it requests after its scripts.

        Raises:
            PolicyError: a policy is invalid.
            CassetteError: a cassette cannot be used.
            SecretError: a variable is also a secret.
        """
        self.secrets.check_apart(env)
        self.network_secrets.check_apart(env)
        config, profile = self.config, profile_named(self.config.profile)
        given, tags = self._look_at(snapshot)
        spec = WorkspaceSpec(
            replace(snapshot, tags=tags, depth=config.git_depth),
            {**env, **self.network_secrets.variables},
            secrets=self.secrets,
            setup_policy=self.read_policy(self.config.network_setup),
            policy=self.read_test_policy(policy or self.config.network),
            given=given,
            scope=scope_of(self.config.cache_scope, snapshot, self.config.rev, os.environ),
            profile=profile,
            # Those of another repository would look for files that are not there.
            services=tuple(
                one for one in self.config.services if one.repository in (None, snapshot.path)
            ),
        )
        if self.cassettes is None:
            return spec
        return replace(
            spec,
            setup_cassette=self.cassettes.open(snapshot.path, None),
            cassette=self.cassettes.open(snapshot.path, cassette),
            setup_cassette_digest=self.cassettes.digest(snapshot.path),
        )

    def _look_at(self, snapshot: RepositorySnapshot) -> tuple[GivenScripts, tuple[Tag, ...] | None]:
        """
        Return the scripts and the tags for workspaces of a commit, as the profile has them. Show,
        once for each commit, which scripts of it do not run, and what of its history is missing.
        """
        where = (str(snapshot.path), snapshot.head)
        if where not in self._looked:
            config, scripts = self.config, self.config.scripts
            if config.profile != "seed":
                scripts = as_in_settings(scripts, snapshot, os.environ)
            tags = find_tags(snapshot, os.environ) if config.git_tags else None
            self._looked[where] = scripts, tags
            if self.output.mode != "quiet":
                self._tell(describe_scripts(config, snapshot))
                self._tell(describe_history(config, snapshot, os.environ))
        return self._looked[where]

    def _tell(self, line: str) -> None:
        if line and self.output.is_news("repository", {"text": line}):
            self.output.note(line)

    @_part
    def engine(self) -> Engine:
        """
        The container engine. What ended sessions left on it is removed.

        Raises:
            EngineUnavailable: no engine answers.
        """
        engine = self._remember_failure("engine", self._find_engine)
        _LOG.debug("session %s uses the engine %s", self.identity.id, engine.url)
        sweeper = threading.Thread(target=_sweep_quietly, args=(engine,), daemon=True)
        sweeper.start()
        self._closers |= {
            "sweep": sweeper.join,
            "objects": self._remove_own,
            "engine": engine.close,
        }
        return engine

    def _find_engine(self) -> Engine:
        """
        Return the engine of this process. If it does not answer, the next one of the run is.
        """
        first, every = self.config.engine, self.config.engines
        if not every:
            return self._connect(first)
        at = every.index(first) if first in every else 0
        order = (*every[at:], *every[:at])
        silent = []
        for choice in [one for one in order if one not in self._lost_engines] or order:
            try:
                engine = self._connect(choice)
            except EngineUnavailable as error:
                silent.append(f"{choice}: {error.message}")
                continue
            for one in silent:
                self.output.note(f"warning: {choice} is used, because an engine is away: {one}")
            self.config = replace(self.config, engine=choice)
            return engine
        raise EngineUnavailable(
            f"None of the {len(every)} engines answers:\n  - " + "\n  - ".join(silent),
            remedy="Start one of them, or name others.",
        )

    def _suspect_loss(self, error: CodexWorkspaceError) -> None:
        """
        Note that the engine may be lost, and tell with *error* which one of several it is.
        """
        if self.config.engines:
            self._suspects_loss = True
            error.add_note(f"The container engine was {self.config.engine}.")

    def leave_lost_engine(self) -> bool:
        """
        Go on on another engine of the run, if this one does not answer any more. What it has of
        this session is given up: a later run removes it. Ask between two tests.

        Returns:
            Whether the parts of this session are others from now on.
        """
        with self._lock:
            if not self._suspects_loss or not self.config.engines or "engine" not in vars(self):
                return False
            self._suspects_loss = False
            lost = self.config.engine
            with suppress(EngineUnavailable):
                self._connect(lost).close()
                return False  # Only the workspace was lost.
            self._lost_engines.add(lost)
            self._abandon()
            self.output.note(
                f"warning: the engine {lost} does not answer any more, and others go on without it"
            )
            return True

    def _abandon(self) -> None:
        """
        Close what is here of parts whose engine is gone, and forget them.
        """
        closers, self._closers = self._closers, {"workspaces": self._end_all}

        def close() -> None:
            for part in _CLOSING_ORDER:
                if part not in ("sweep", "objects"):
                    with suppress(Exception):
                        closers.pop(part, _nothing)()

        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        thread.join(_ABANDONING)
        self._live.clear()
        self._failures.clear()
        self._ahead = None
        for name, part in vars(type(self)).items():
            if isinstance(part, _part):
                vars(self).pop(name, None)

    def _remove_own(self) -> None:
        for text in remove_session(self.engine, self.identity.id):
            self.output.note(f"{text}; a later run removes it")

    @_part
    def isolation(self) -> Isolation:
        """
        The network and the proxy.

        Raises:
            ImageBuildError: the proxy image could not be built.
            ProxyError: the proxy did not start, or the upstream proxy that the
                environment names cannot be used.
        """
        return self._remember_failure("isolation", self._open_isolation)

    def _open_isolation(self) -> Isolation:
        upstream = self.upstream()
        self.build_ahead()
        image = ensure_proxy_image(self.engine, output=self.output)
        isolation = Isolation(self.engine, self.identity, image, self.output.note)
        self._closers |= {"releases": isolation.wait_for_cleanup, "isolation": isolation.close}
        settings = ProxySettings(
            ca=certificates.load_ca(),
            upstream_ca=certificates.host_bundle(),
            policy=HTTPS_ONLY,
            refuse=own_addresses(),
            refusal=profile_named(self.config.profile).refusal,
            secrets=self.network_secrets.rules(),
            bodies=self.config.network_bodies,
            cassette=self.config.cassette,
            upstream=upstream,
        )
        with ExitStack() as stack:
            stack.enter_context(self.output.step("starting the proxy", announced=False))
            if settings.ca is None:
                stack.enter_context(certificates.authority_lock(self.output.note))
                settings = replace(settings, ca=certificates.load_ca())
            isolation.open(settings)
            if isolation.info.new_ca is not None:
                certificates.store_ca(isolation.info.new_ca)
        return isolation

    def build_ahead(self) -> None:
        """
        On a new machine, start to build the runtimes of the slim image, so that the engine builds
        them beside the proxy image. A failure is raised when the base image is built.
        """
        if self.config.image != "slim" or self.config.cache_registry:
            # The base image may not be needed where another machine's setup is found.
            return
        if self._ahead is not None or find_proxy_image(self.engine) is not None:
            return
        ensure_debian(self.engine, self.output)
        self._ahead = threading.Thread(target=self._build_runtimes, daemon=True)
        self._ahead.start()

    def _build_runtimes(self) -> None:
        with suppress(CodexWorkspaceError):
            base.build_runtimes(self.engine, output=self.output)

    def upstream(self) -> UpstreamProxy | None:
        """
        Return the proxy that leads out of this network, if there is one.

        Raises:
            ProxyError: the proxy cannot be used.
        """
        try:
            return choose(self.config.upstream_proxy, os.environ)
        except InvalidUpstream as error:
            raise ProxyError(str(error)) from None

    @_part
    def image(self) -> ImageInfo:
        """
        The base image.

        Raises:
            ImageBuildError: the image could not be built, or does not exist.
        """
        return self._remember_failure("image", self._ensure_image)

    def _ensure_image(self) -> ImageInfo:
        return self.ensure_base_image(self.isolation.info.ca_certificate)

    def ensure_base_image(self, authority: bytes, *, rebuild: bool = False) -> ImageInfo:
        """
        Return the base image. Build it if necessary.

        Args:
            authority: the CA certificate of the proxy in PEM form.
            rebuild: build the image even if it exists, and without the build cache.

        Raises:
            ImageBuildError: the image could not be built, or does not exist.
        """
        if self._ahead is not None:
            self._ahead.join()
        return base.ensure_base_image(
            self.engine,
            self.config.image,
            ca_certificate=authority,
            output=self.output,
            rebuild=rebuild,
            isolation=lambda: self.isolation,
        )

    def _remember_failure(self, part: str, make: Callable[[], T]) -> T:
        """
        Return what *make* returns. What takes minutes to fail is not tried
        again for each test. An engine that has answered may come back.
        """
        if part in self._failures:
            raise self._failures[part].with_traceback(None)
        try:
            return make()
        except CodexWorkspaceError as error:
            if part == "engine" or not isinstance(error, EngineUnavailable):
                self._failures[part] = error
            raise

    @_part
    def base_identity(self) -> str:
        """
        What the base image is built from, known without building it.

        Raises:
            ImageBuildError: there is no image of that name.
        """
        return base.base_identity(self.engine, self.config.image, output=self.output)

    @property
    def base_tag(self) -> str:
        """
        The base image's tag for what it is built from.
        """
        return next((tag for tag in self.image.tags if ":base-" in tag), f"{IMAGE}:latest")

    @_part
    def launcher(self) -> Launcher:
        """
        Starts containers on the session's network.
        """
        config = self.config
        limits = limits_of(
            self.engine,
            config.cpus,
            config.memory,
            self.output.note,
            tells_less=config.profile != "seed",
        )
        # Of several engines, an error says which one it was.
        where = config.engine if config.engines else ""
        launcher = Launcher(
            *(self.engine, self.isolation, self.identity, self.secrets, limits, where)
        )
        self._closers["spare"] = launcher.close
        return launcher

    @_part
    def runner(self) -> ScriptRunner:
        """
        Runs setup scripts.
        """
        return ScriptRunner(self.launcher, self.config, self.output)

    @_part
    def store(self) -> LayerStore:
        """
        The layers of this session.
        """
        store = LayerStore(
            self.engine,
            self.identity,
            self.config,
            self.output,
            usage_on(self.engine),
            self._shared_cache(),
            self._neighbours(),
        )
        self._closers["layers"] = store.close
        return store

    def _neighbours(self) -> Neighbours | None:
        config = self.config
        others = [one for one in config.engines if one not in (config.engine, *self._lost_engines)]
        if not others or config.cache == "off":
            return None
        return Neighbours(
            self.engine,
            others,
            connect=self._connect,
            ttl=config.cache_ttl,
            limit=config.cache_size,
            output=self.output,
        )

    def _shared_cache(self) -> SharedCache | None:
        config = self.config
        if not config.cache_registry or config.cache == "off":
            return None
        return SharedCache(
            self.engine,
            config.cache_registry,
            push=config.cache_push == "always",
            ttl=config.cache_ttl,
            output=self.output,
            # More than the cache may hold would be removed again.
            limit=config.cache_size,
        )

    @_part
    def builder(self) -> LayerBuilder:
        """
        Knows how layers are built.
        """
        builder = LayerBuilder(
            self.launcher,
            self.runner,
            base=lambda: self.image.id,
            base_identity=self.base_identity,
            platform=self.engine.platform,
            config=self.config,
            output=self.output,
        )
        self._closers["projections"] = builder.close
        return builder

    @_part
    def starter(self) -> WorkspaceStarter:
        """
        Starts workspaces.
        """
        return WorkspaceStarter(
            self.engine,
            self.store,
            self.builder,
            self.launcher,
            self.runner,
            read_policy=self.read_test_policy,
            cache=self.config.cache,
            cached_setups=CachedSetups(self.output, self.config.started),
            output=self.output,
            keeper=self.keeper,
        )

    @_part
    def keeper(self) -> SnapshotKeeper:
        """
        Keeps the snapshots of this session.
        """
        keeper = SnapshotKeeper(self.engine, self.identity)
        self._closers["snapshots"] = keeper.close
        return keeper

    @_part
    def prepared_states(self) -> PreparedStates:
        """
        The states that tests share.
        """
        return PreparedStates()

    @_part
    def policies(self) -> PolicyReader:
        """
        Reads the policies that tests and options name.
        """
        return PolicyReader(self._registries)

    def _registries(self) -> Mapping[str, Sequence[str]]:
        with self._lock:
            return read_registries(self.image, self.launcher, self.output)

    def read_policy(self, policy: PolicyLike) -> Policy:
        """
        Return the policy that a test or an option names.

        Raises:
            PolicyError: the policy is invalid.
        """
        return self.policies.read(policy)

    def read_test_policy(self, policy: PolicyLike) -> Policy:
        """
        Return a policy for the test phase, restricted to the methods of the options unless it
        names methods itself.

        Raises:
            PolicyError: the policy is invalid.
        """
        found = self.read_policy(policy)
        if self.config.network_methods == "all" or found.methods:
            return found
        return found.but(methods=SAFE_METHODS)

    @_part
    def cassettes(self) -> Cassettes | None:
        """
        The cassettes that are recorded or replayed, if any.
        """
        mode = self.config.cassette
        if mode == "off":
            return None
        cassettes = Cassettes(
            mode,
            self.isolation.proxy,
            self.output,
            renew_scripts=self.config.renew_cassette,
            secrets=self.secrets,
        )
        self._closers["cassettes"] = cassettes.save
        return cassettes


def _check_secrets(spec: WorkspaceSpec, state: State) -> None:
    """
    Raise the error for a missing secret before minutes are spent on images.
    """
    if spec.runs_scripts(state):
        _ = spec.secrets.values


def _nothing() -> None:
    return None


def _sweep_quietly(engine: Engine) -> None:
    # Every run removes leftovers; `codex-workspace clean` reports what fails.
    with suppress(EngineError, EngineUnavailable):
        sweep(engine)
    with suppress(CodexWorkspaceError):
        prune_cache_dir(cache_dir())
