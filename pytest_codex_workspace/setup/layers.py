"""How the images between the base image and a workspace are built.

clean: the base image with a commit projected into it and its runtimes selected.
setup: a clean layer in which `setup-script.sh` ran.
ready: a setup layer brought to a commit, in which `setup-from-cache-script.sh` ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from ..cache.store import Build, Layer, LayerLabels, Recipe
from ..codex import SELECT_RUNTIMES, SETUP, defaulted_runtimes
from ..errors import ProjectionError, SetupError
from ..images.content_key import key_of
from ..network.matching import Phase
from ..options.config import Config
from ..projection.archive import Projection
from ..reporting.output import Output
from ..workspace.launcher import Launcher, Running
from .keys import clean_parts, ready_parts, setup_parts
from .scripts import ScriptRunner
from .spec import WorkspaceSpec

__all__ = ["LayerBuilder"]


class LayerBuilder:
    """
    Knows the recipe of each layer, and builds layers in containers.

    Args:
        launcher: starts the containers.
        runner: runs the scripts in them.
        base: returns the id of the base image, which is built if need be.
        base_identity: of the base image, known without building it.
        platform: of the engine.
        config: the choice of base image, for errors.
        output: shows each step.
    """

    def __init__(
        self,
        launcher: Launcher,
        runner: ScriptRunner,
        *,
        base: Callable[[], str],
        base_identity: str,
        platform: str,
        config: Config,
        output: Output,
    ) -> None:
        self._launcher = launcher
        self._runner = runner
        self._base = base
        self._base_identity = base_identity
        self._platform = platform
        self._config = config
        self._output = output
        self._noted: set[str] = set()
        self._projections: dict[tuple[str, str, int], Projection] = {}

    def close(self) -> None:
        """
        Free the space that projections take.
        """
        for projection in self._projections.values():
            projection.close()

    def clean(self, spec: WorkspaceSpec) -> Recipe:
        """
        Return the recipe of the layer that has the commit, and in which no
        script has run.

        Building it raises:
            ProjectionError: the commit cannot be checked out.
            SetupError: the image does not have a runtime that *spec* selects.
        """
        return Recipe(
            kind="clean",
            key=self._clean_key(spec),
            labels=self._labels(spec),
            below=None,
            build=partial(self._build_clean, spec),
        )

    def setup(self, spec: WorkspaceSpec) -> Recipe:
        """
        Return the recipe of the layer in which `setup-script.sh` has run. Such
        a layer is used for every commit with the same scripts.

        Building it raises:
            SetupError: the script failed.

        Raises:
            SetupError: `setup-script.sh` is not in the commit.
        """
        parts = self._setup_parts(spec)
        return Recipe(
            kind="setup",
            key=key_of(parts),
            labels=self._labels(spec, parts),
            below=self.clean(spec),
            build=partial(self._build_setup, spec),
        )

    def ready(self, spec: WorkspaceSpec, setup: Layer) -> Recipe | None:
        """
        Return the recipe of the layer that tests start from: *setup* brought to
        the commit. `None` if *setup* is that layer already.

        Building it raises:
            SetupError: `setup-from-cache-script.sh` failed.
        """
        authority, head = self._launcher.authority, spec.snapshot.head
        # A layer from another machine gets this machine's certificate once, not at each start.
        foreign = setup.ca != authority
        if not (foreign or setup.head != head or spec.snapshot.has_resume):
            return None
        return Recipe(
            kind="ready",
            key=key_of(ready_parts(spec, setup=setup.image, authority=authority)),
            labels=self._labels(spec),
            below=setup,
            build=partial(self._build_ready, spec),
        )

    def setup_key(self, spec: WorkspaceSpec) -> str:
        """
        Return the key of the setup layer.

        Raises:
            SetupError: `setup-script.sh` is not in the commit.
        """
        return key_of(self._setup_parts(spec))

    @contextmanager
    def _build_clean(self, spec: WorkspaceSpec, _below: Layer | None) -> Iterator[Build]:
        with self._container(self._base(), spec, "setup", cwd="/") as running:
            self._project(running, spec)
            self._select_runtimes(running, spec)
            yield self._finish(running)

    @contextmanager
    def _build_setup(self, spec: WorkspaceSpec, below: Layer | None) -> Iterator[Build]:
        with self._container(_image_of(below), spec, "setup") as running:
            run = self._runner.run(running, "setup", spec)
            self._runner.write_record(running, "setup", run)
            build = self._finish(running)
            yield Build(build.container, run.log_path)

    @contextmanager
    def _build_ready(self, spec: WorkspaceSpec, below: Layer | None) -> Iterator[Build]:
        snapshot = spec.snapshot
        with self._container(_image_of(below), spec, "resume") as running:
            if below is None or below.head != snapshot.head:
                self._project(running, spec)
            if snapshot.has_resume:
                run = self._runner.run(running, "resume", spec)
                self._runner.write_record(running, "resume", run)
            yield self._finish(running)

    @contextmanager
    def _container(
        self, image: str, spec: WorkspaceSpec, phase: Phase, *, cwd: str | None = None
    ) -> Iterator[Running]:
        running = self._launcher.launch(
            image,
            spec.env,
            phase,
            policy=spec.policy_in(phase),
            cwd=cwd or spec.project,
            cassette=spec.cassette_in(phase),
        )
        try:
            yield running
        finally:
            self._launcher.stop(running)

    @staticmethod
    def _finish(running: Running) -> Build:
        # Codex keeps files, not processes; ended ones cannot write half a file.
        running.channel.kill_all()
        return Build(running.container)

    def _project(self, running: Running, spec: WorkspaceSpec) -> None:
        snapshot = spec.snapshot
        where = (str(snapshot.path), snapshot.head, len(snapshot.submodules))
        with self._output.step(f"projecting {snapshot.name} at {snapshot.head[:12]}"):
            if where not in self._projections:
                self._projections[where] = Projection.of(snapshot)
            projection = self._projections[where]
            with projection.open() as archive:
                self._launcher.put(running, projection.unpack_dir, archive)
            result = running.channel.run(projection.command, cwd="/")
        if not result.ok:
            raise ProjectionError(
                f"{snapshot.path} at {snapshot.head[:12]} could not be checked out in the "
                f"workspace (the image needs git and python3):\n{result.stderr.strip()[-2000:]}"
            )

    def _select_runtimes(self, running: Running, spec: WorkspaceSpec) -> None:
        argv = ["bash", "--login", "-c", f"[ ! -e {SELECT_RUNTIMES} ] || exec {SELECT_RUNTIMES}"]
        result = running.channel.run(
            argv, cwd="/", env={"CODEX_ENV_DEFAULTED": defaulted_runtimes(spec.env)}
        )
        printed = (result.stdout + result.stderr).strip()
        if not result.ok:
            raise SetupError(
                f"the runtimes could not be selected in image {self._config.image!r}:\n{printed}",
                script=SELECT_RUNTIMES,
                exit_code=result.exit_code,
                tail=printed,
            )
        for line in printed.splitlines():
            if line not in self._noted:
                self._noted.add(line)
                self._output.note(line)

    def _setup_parts(self, spec: WorkspaceSpec) -> dict[str, object]:
        snapshot = spec.snapshot
        if not snapshot.has_setup:
            raise SetupError(
                f"{snapshot.path} has codex-workspace-scripts/ at {snapshot.head[:12]}, but no "
                "setup-script.sh in it, which Codex requires. Add and commit "
                f"{SETUP}, or remove the directory.",
                script=SETUP,
            )
        return setup_parts(spec, base=self._base_identity, platform=self._platform)

    def _clean_key(self, spec: WorkspaceSpec) -> str:
        return key_of(
            clean_parts(
                spec,
                base=self._base_identity,
                platform=self._platform,
                authority=self._launcher.authority,
            )
        )

    def _labels(self, spec: WorkspaceSpec, parts: dict[str, object] | None = None) -> LayerLabels:
        snapshot = spec.snapshot
        return LayerLabels(
            *(snapshot.identity, snapshot.name, snapshot.head, self._launcher.authority, parts),
            origin=str(snapshot.path),
        )


def _image_of(layer: Layer | None) -> str:
    assert layer is not None  # noqa: S101 -- only a clean layer stands on the base image
    return layer.image
