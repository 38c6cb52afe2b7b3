"""Starting a workspace: from a specification and a state to a container that answers.

The container starts from a stack of layers, of which each that is missing is
built. An image can be removed after it was looked up, and can turn out to be
broken; the stack is then ensured again, until a container comes up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ..cache.entries import LayerKind
from ..cache.provenance import CachedSetups
from ..cache.store import Layer, LayerStore
from ..codex import workspace_environment
from ..engine.protocol import Engine
from ..errors import EngineError, ServiceError, SnapshotError
from ..network.matching import Phase
from ..network.policy_reader import PolicyLike
from ..network.rules.policy import Policy
from ..network.rules.request import Request
from ..options.profiles import agent_variables
from ..options.table import CacheMode
from ..projection.repository import RepositorySnapshot
from ..reporting.output import Output
from ..secrets.secrets import NO_SECRETS
from ..services.daemons import without_services
from ..services.service import Service, Services
from ..snapshots.history import History
from ..snapshots.keeper import SnapshotKeeper
from ..snapshots.prepared import StateName
from ..snapshots.snapshot import Snapshot
from ..workspace.command_log import CommandLog
from ..workspace.handle import SetupResult, Workspace
from ..workspace.launcher import Launcher, PhaseRules, PhaseSwitch, Running, UnusableImage
from ..workspace.paths import bind
from .layers import LayerBuilder
from .scripts import ScriptRun, ScriptRunner, log_path_of
from .spec import SCRIPT_PHASES, State, WorkspaceSpec

__all__ = ["SessionSnapshot", "StartedWorkspace", "WorkspaceStarter"]

_ATTEMPTS = 4
"""A workspace stands on up to three cached layers, and each may be removed or broken."""


@dataclass(frozen=True, slots=True)
class StartedWorkspace:
    """
    A workspace, and what has to be ended with it.

    Attributes:
        workspace: the handle.
        running: the workspace's container.
        layers: what the container was started from, the topmost first.
        before: requests of scripts that ran in other containers for it.
    """

    workspace: Workspace
    running: Running
    layers: Sequence[Layer]
    before: Sequence[Request] = ()


@dataclass(frozen=True, slots=True)
class _Launched:
    """
    A container, its layers with the topmost first, and whether
    `setup-script.sh` ran for it.
    """

    running: Running
    layers: Sequence[Layer]
    setup_ran: bool


@dataclass(frozen=True, slots=True)
class _History:
    """
    The runs of scripts that led to an image, and a file with their output.
    """

    setup: ScriptRun | None
    resume: ScriptRun | None
    log_path: Path | None


@dataclass(frozen=True, slots=True)
class _Origin:
    """
    What a workspace of a snapshot has from the workspace that the snapshot was made of.
    """

    state: State
    head: str
    setup: SetupResult
    before: Sequence[Request]


@dataclass(frozen=True, slots=True)
class _Cached:
    """
    A prepared state in the cache: the layers that it stands on, the topmost first.
    """

    state: State
    layers: Sequence[Layer]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SessionSnapshot(Snapshot):
    """
    A snapshot, with what its session knows of the workspace.

    Attributes:
        source: what was projected into the workspace.
        origin: what a workspace of the snapshot has from it.
    """

    source: RepositorySnapshot = field(repr=False)
    origin: _Origin | _Cached = field(repr=False)

    @classmethod
    def of(cls, snapshot: Snapshot) -> SessionSnapshot:
        """
        Return a snapshot that a test has given.

        Raises:
            SnapshotError: the test has made it itself.
        """
        if isinstance(snapshot, cls):
            return snapshot
        raise SnapshotError(
            f"{snapshot!r} is not a snapshot of a workspace",
            remedy="Give the object that ws.snapshot() returns.",
        )


class WorkspaceStarter:
    """
    Starts the workspaces of one session. Not for several threads at once.

    Args:
        engine: runs the containers.
        store: has the layers, or has them built.
        builder: knows how layers are built.
        launcher: starts containers.
        runner: runs scripts.
        read_policy: reads the policies that tests name.
        cache: the cache mode.
        cached_setups: tells of a cached setup before it is used.
        output: shows services that take long to start.
        keeper: keeps snapshots.
    """

    def __init__(
        self,
        engine: Engine,
        store: LayerStore,
        builder: LayerBuilder,
        launcher: Launcher,
        runner: ScriptRunner,
        *,
        read_policy: Callable[[PolicyLike], Policy],
        cache: CacheMode,
        cached_setups: CachedSetups,
        output: Output,
        keeper: SnapshotKeeper,
    ) -> None:
        self._engine = engine
        self._keeper = keeper
        self._store = store
        self._builder = builder
        self._launcher = launcher
        self._runner = runner
        self._read_policy = read_policy
        self._cache = cache
        self._cached_setups = cached_setups
        self._output = output
        self._failed_services: list[tuple[WorkspaceSpec, State, ServiceError]] = []
        self._histories: dict[str, _History] = {}
        self._ahead: set[str] = set()
        """Images that were built by `prepare` and not used yet."""

    def start(self, spec: WorkspaceSpec, state: State) -> StartedWorkspace:
        """
        Start a workspace.

        Args:
            spec: what it is made of.
            state: what it starts from.

        Raises:
            CodexWorkspaceError: a layer could not be built or started, or a service did not
                become ready.
        """
        for failed, when, error in self._failed_services:
            # The next test gets the same error instead of the same minute.
            if failed == spec and when == state:
                raise error.with_traceback(None)
        if not spec.runs_scripts(state):
            return self._start_clean(spec, state)
        if state == "miss":
            return self._start_and_set_up(spec)
        return self._start_set_up(spec, state)

    def prepare(self, spec: WorkspaceSpec, state: State) -> None:
        """
        Build the layers that a workspace starts from, if they are missing and will be kept.

        Raises:
            CodexWorkspaceError: a layer could not be built.
        """
        if self._cache == "off":
            return
        cached = spec.runs_scripts(state) and state != "miss"
        for layer in self._ensure(spec, "ready" if cached else "clean"):
            if layer.made:
                self._ahead.add(layer.image)

    def launch_clean(self, spec: WorkspaceSpec) -> Running:
        """
        Start a container of the clean layer for setup, in which no script has run.

        Raises:
            CodexWorkspaceError: the layer could not be built or started.
        """
        return self._launch(spec, "clean", "setup").running

    def resume(
        self,
        spec: WorkspaceSpec,
        setup: Layer,
        ended: Callable[[Running, ScriptRun | None], object],
    ) -> StartedWorkspace:
        """
        Start a workspace from *setup* as Codex resumes: go to the commit, and run
        `setup-from-cache-script.sh` in the workspace itself. No layer is made of it.

        Args:
            spec: what it is made of.
            setup: the setup layer.
            ended: called when the script has ended, with the processes that it has left, and with
                its run, if there was one.

        Raises:
            CodexWorkspaceError: the workspace could not be started, or the script failed.
        """
        running = self._launcher.launch(
            setup.image,
            spec.variables,
            "resume",
            policy=spec.policy_in("resume"),
            cwd=spec.project,
            cassette=spec.cassette_in("resume"),
        )
        launched = _Launched(running, (setup,), setup_ran=True)
        with self._stopped_on_error(launched):
            self._builder.bring_to(running, spec, setup)
            run = self._runner.run(running, "resume", spec) if spec.resumes else None
            ended(running, run)
            running.channel.kill_all()
            self._launcher.enter(running, "test", spec.policy, spec.cassette)
            history = _History(None, run, run.log_path if run else None)
            head = replace(setup, head=spec.snapshot.head)
            launched = replace(launched, layers=(head,))
            result = _result(spec, setup.key, "miss", history)
            return self._started(spec, "ready", launched, result)

    def prepared(
        self,
        spec: WorkspaceSpec,
        state: State,
        name: StateName,
        fill: Callable[[], AbstractContextManager[Workspace]],
    ) -> Snapshot:
        """
        Return a state that tests have prepared, from the cache, or made now.

        Args:
            spec: what the workspace is made of in which it is prepared.
            state: what that workspace starts from.
            name: its name, and what it depends on.
            fill: yields that workspace, prepared.

        Raises:
            CodexWorkspaceError: a layer could not be built. What *fill* raises is raised, too.
        """
        layers: list[Layer] = []
        for layer in self._ensure(spec, "ready" if spec.runs_scripts(state) else "clean"):
            layers.insert(0, layer)
        made = self._store.ensure(self._builder.prepared(spec, layers[0], name, fill))
        return _snapshot_of(spec, made, _Cached(state, (made, *layers)))

    def fork(self, spec: WorkspaceSpec, snapshot: Snapshot) -> StartedWorkspace:
        """
        Start a workspace with the files of a snapshot. No script runs.

        Args:
            spec: its variables and what it may reach; its commit is that of the snapshot.
            snapshot: its files.

        Raises:
            SnapshotError: the snapshot is not there any more.
            CodexWorkspaceError: the workspace could not be started.
        """
        self._keeper.use(snapshot)
        start = SessionSnapshot.of(snapshot)
        origin = start.origin
        try:
            running = self._launcher.launch(
                snapshot.image,
                spec.variables,
                "test",
                policy=spec.policy,
                cwd=spec.project,
                cassette=spec.cassette,
            )
        except UnusableImage as error:
            raise error.cause from None
        layers = origin.layers if isinstance(origin, _Cached) else ()
        launched = _Launched(running, layers, setup_ran=False)
        with self._stopped_on_error(launched):
            if isinstance(origin, _Cached):
                self._store.record_use(layers)
                origin = self._origin_of(spec, origin.state, launched)
                start = replace(start, origin=origin)
            return self._with_services(spec, launched, start, origin)

    def _origin_of(self, spec: WorkspaceSpec, state: State, launched: _Launched) -> _Origin:
        head = launched.layers[0].head
        if not spec.runs_scripts(state):
            return _Origin(state, head, SetupResult("none"), ())
        history = self._history_of(spec, launched)
        setup = _result(spec, launched.layers[-1].key, "hit", history)
        return _Origin(state, head, setup, history.resume.requests if history.resume else ())

    def _start_clean(self, spec: WorkspaceSpec, state: State) -> StartedWorkspace:
        launched = self._launch(spec, "clean")
        with self._stopped_on_error(launched):
            return self._started(spec, state, launched, SetupResult("none"))

    def _start_and_set_up(self, spec: WorkspaceSpec) -> StartedWorkspace:
        """
        Start from the clean layer, and run `setup-script.sh` in the workspace.
        """
        key = self._builder.setup_key(spec)
        launched = self._launch(spec, "clean", "setup")
        with self._stopped_on_error(launched):
            running = launched.running
            run = self._runner.run(running, "setup", spec)
            # Codex keeps files, not processes.
            self._builder.settle(running, spec)
            running.channel.kill_all()
            self._launcher.enter(running, "test", spec.policy, spec.cassette)
            setup = _result(spec, key, "miss", _History(run, None, run.log_path))
            return self._started(spec, "miss", launched, setup)

    def _start_set_up(self, spec: WorkspaceSpec, state: State) -> StartedWorkspace:
        """
        Start from the setup layer, or from the ready layer on top of it.
        """
        launched = self._launch(spec, "setup" if state == "setup" else "ready")
        with self._stopped_on_error(launched):
            history = self._history_of(spec, launched)
            cache = self._outcome(state, launched)
            result = _result(spec, launched.layers[-1].key, cache, history)
            # Setup belongs to the log of the workspace in which it ran, resuming to this one's.
            setup = history.setup.requests if history.setup and cache == "off" else ()
            resume = history.resume.requests if history.resume else ()
            return self._started(spec, state, launched, result, (*setup, *resume))

    def _outcome(self, state: State, launched: _Launched) -> Literal["hit", "miss", "off"]:
        if self._cache == "off":
            return "off"
        return "miss" if launched.setup_ran and state != "hit" else "hit"

    def _launch(self, spec: WorkspaceSpec, top: LayerKind, phase: Phase = "test") -> _Launched:
        """
        Start a container of the layer of kind *top*. If an image is gone or
        broken, build its layer again, and try once more.
        """
        setup_ran = False
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            layers: list[Layer] = []
            try:
                with ExitStack() as undo:
                    undo.callback(self._discard, layers)
                    for layer in self._ensure(spec, top):
                        layers.insert(0, layer)
                        made = layer.made or layer.image in self._ahead
                        setup_ran = setup_ran or (layer.kind == "setup" and made)
                    running = self._launcher.launch(
                        layers[0].image,
                        spec.variables,
                        phase,
                        policy=spec.policy_in(phase),
                        cwd=spec.project,
                        cassette=spec.cassette_in(phase),
                    )
                    undo.pop_all()
            except EngineError:
                if last or not self._store.forget_missing():
                    raise
            except UnusableImage as error:
                if last or not self._store.mark_broken(error.image, str(error)):
                    raise error.cause from None
            else:
                self._store.record_use(layers)
                self._ahead.difference_update(layer.image for layer in layers)
                return _Launched(running, layers, setup_ran)
        raise AssertionError("the last attempt returns or raises")

    def _ensure(self, spec: WorkspaceSpec, top: LayerKind) -> Iterator[Layer]:
        """
        Yield the layers that a workspace stands on, the lowest first, up to
        the one of kind *top*.
        """
        if top == "clean":
            yield self._store.ensure(self._builder.clean(spec))
            return
        setup = self._store.ensure(self._builder.setup(spec))
        names = {phase: one.short_name for phase in SCRIPT_PHASES if (one := spec.script(phase))}
        self._cached_setups.tell(
            spec.snapshot,
            setup,
            setup=names.get("setup", ""),
            resume=names.get("resume", ""),
            scripts=spec.given.texts,
        )
        yield setup
        if top == "ready":
            recipe = self._builder.ready(spec, setup)
            if recipe is not None:
                yield self._store.ensure(recipe)

    def _discard(self, layers: Sequence[Layer]) -> None:
        """
        Remove what was built for a workspace that did not start.
        """
        if any(layer.single_use for layer in layers):
            # An engine keeps an image as long as a container uses it.
            self._launcher.wait_for_cleanup()
            self._store.discard(layers)

    def _history_of(self, spec: WorkspaceSpec, launched: _Launched) -> _History:
        """
        Return the runs that led to the image of a new container. They are looked up
        once for each image, before any command of a test runs.
        """
        layer = launched.layers[0]
        if layer.image not in self._histories:
            record = self._builder.records.read(layer, launched.running)
            setup, resume = record.setup, record.resume
            path = layer.log_path
            if path is None:
                path = log_path_of(spec, layer.image.removeprefix("sha256:")[:12])
                path = _write_log(path, setup, resume)
            self._histories[layer.image] = _History(setup, resume, path)
        return self._histories[layer.image]

    @contextmanager
    def _stopped_on_error(self, launched: _Launched) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._launcher.stop(launched.running, lambda: self._store.discard(launched.layers))
            raise

    def _started(
        self,
        spec: WorkspaceSpec,
        state: State,
        launched: _Launched,
        setup: SetupResult,
        before: Sequence[Request] = (),
    ) -> StartedWorkspace:
        layer = launched.layers[0]
        # What starts from a snapshot of it finds a setup.
        found = replace(setup, cache="hit") if setup.cache == "miss" else setup
        head = layer.head or spec.snapshot.head
        start = _snapshot_of(spec, layer, _Origin(state, head, found, before))
        return self._with_services(spec, launched, start, _Origin(state, head, setup, before))

    def _with_services(
        self, spec: WorkspaceSpec, launched: _Launched, start: Snapshot, origin: _Origin
    ) -> StartedWorkspace:
        """
        Return a workspace in a container, once its services are ready.
        """
        running, state = launched.running, origin.state
        services = Services(
            [
                Service(one, running.channel, spec.project, spec.secrets)
                for one in spec.services_in(state)
            ]
        )
        variables = agent_variables(spec.profile, spec.env)
        phases = PhaseSwitch(
            running,
            partial(_rules, spec, variables),
            now=_rules(spec, variables, "test"),
            services=services,
        )
        try:
            services.start(self._output)
        except ServiceError as error:
            self._failed_services.append((spec, state, error))
            raise
        launcher, before = self._launcher, origin.before
        workspace = Workspace(
            self._engine,
            running.container,
            running.channel,
            project=spec.project,
            paths=bind(running.channel, spec.project),
            head=origin.head,
            env=workspace_environment(spec.variables),
            setup=origin.setup,
            network=launcher.network_log(running, self._read_policy, phases, before),
            # The values may be read later, when a phase needs them.
            commands=CommandLog(lambda data: spec.secrets.redaction.data(data)),
            phases=phases,
            services=services,
            history=History(
                running,
                start,
                keeper=self._keeper,
                look=launcher.look,
                restart=lambda image: phases.restart(
                    lambda: launcher.restart(running, image, spec.project)
                ),
            ),
        )
        return StartedWorkspace(workspace, running, launched.layers, before)


def _snapshot_of(spec: WorkspaceSpec, layer: Layer, origin: _Origin | _Cached) -> SessionSnapshot:
    return SessionSnapshot(
        layer.image, spec.snapshot.name, layer.image, source=spec.snapshot, origin=origin
    )


def _rules(spec: WorkspaceSpec, agent: Mapping[str, str], phase: Phase) -> PhaseRules:
    """
    Return what holds in a phase of a workspace of *spec*.

    Raises:
        SecretError: a secret that the phase has is not set.
    """
    scripts = phase != "test"
    return PhaseRules(
        phase,
        spec.policy_in(phase),
        # What a test requests is recorded for the test, and not for the scripts.
        spec.cassette,
        spec.secrets.values if scripts else agent,
        spec.secrets if scripts else NO_SECRETS,
    )


def _result(
    spec: WorkspaceSpec, key: str, cache: Literal["hit", "miss", "off"], history: _History
) -> SetupResult:
    runs = [run for run in (history.setup, history.resume) if run is not None]
    # Both scripts may have started the same.
    daemons = tuple(dict.fromkeys(one for run in runs for one in run.daemons))
    return SetupResult(
        cache,
        output="".join(run.output for run in runs),
        duration=sum(run.duration for run in runs),
        log_path=history.log_path,
        key=key,
        requests=history.setup.requests if history.setup else (),
        daemons=daemons,
        missing=without_services(daemons, spec.services),
    )


def _write_log(path: Path, *runs: ScriptRun | None) -> Path | None:
    """
    Write what *runs* printed to a file; `None` where it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(run.output for run in runs if run), encoding="utf-8")
    except OSError:
        return None
    return path
