"""How the images between the base image and a workspace are built.

clean: the base image with a commit projected into it and its runtimes selected.
setup: a clean layer in which `setup-script.sh` ran.
ready: a setup layer brought to a commit, in which `setup-from-cache-script.sh` ran.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..cache.store import Build, Layer, LayerLabels, Recipe
from ..codex import SCRIPTS, SELECT_RUNTIMES, SETUP, defaulted_runtimes
from ..engine.protocol import Advance
from ..errors import ExecTimeout, ProjectionError, SetupError
from ..images.content_key import key_of
from ..in_container.apply_projection import OBJECTS_MISSING, PROGRESS, REFUSED, REFUSES
from ..network.matching import Phase
from ..options.config import Config
from ..projection.archive import COMMAND, Projection
from ..projection.switch import switch_archive, switch_error
from ..reporting.output import Output, Step
from ..snapshots.prepared import StateName
from ..text.option_names import spell_option
from ..text.phrases import counted
from ..text.printable import printable
from ..workspace.handle import Workspace
from ..workspace.launcher import Launcher, Running
from ..workspace.result import ExecResult
from .keys import clean_parts, ready_parts, setup_parts
from .records import Record, Records
from .runtime_notes import RuntimeNotes
from .scripts import ScriptRun, ScriptRunner
from .spec import WorkspaceSpec

__all__ = ["LayerBuilder"]

_SAID_LIMIT = 1 << 20
_SHOWN = 10
_REPORT = re.compile(r"checked out ([0-9]{1,9}) of ([0-9]{1,9}) files\n?")
"""What the program in a container says while it checks out."""


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

    Attributes:
        records: of the scripts that led to each layer.
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
        self.records = Records(launcher, output)
        self._base = base
        self._base_identity = base_identity
        self._platform = platform
        self._config = config
        self._output = output
        self._notes = RuntimeNotes(base_identity)
        self._projections: dict[tuple[object, ...], Projection] = {}

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
        if not (foreign or setup.head != head or spec.resumes):
            return None
        return Recipe(
            kind="ready",
            key=key_of(ready_parts(spec, setup=setup.image, authority=authority)),
            labels=self._labels(spec),
            below=setup,
            build=partial(self._build_ready, spec),
        )

    def prepared(
        self,
        spec: WorkspaceSpec,
        below: Layer,
        state: StateName,
        fill: Callable[[], AbstractContextManager[Workspace]],
    ) -> Recipe:
        """
        Return the recipe of the layer with a state that tests have prepared, on top of *below*.

        Args:
            spec: what the workspace is made of in which it is prepared.
            below: what that workspace starts from.
            state: its name, and what it depends on.
            fill: yields that workspace, prepared.
        """
        parts = {
            "below": below.image,
            "name": state.name,
            "key": state.key,
            "env": dict(spec.env),
            "policy": spec.policy.to_dict(),
        }

        @contextmanager
        def build(_below: Layer | None) -> Iterator[Build]:
            with fill() as workspace:
                yield Build(workspace.container, record=below.record)

        return Recipe("prepared", key_of(parts), self._labels(spec), below, build)

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
        with self._container(_layer_of(below).image, spec, "setup") as running:
            run = self._runner.run(running, "setup", spec)
            self.settle(running, spec)
            yield self._finish(running, Record(run), run.log_path)

    @contextmanager
    def _build_ready(self, spec: WorkspaceSpec, below: Layer | None) -> Iterator[Build]:
        setup = _layer_of(below)
        with self._container(setup.image, spec, "resume") as running:
            # Read before anything else runs here, and written again: the record of the
            # setup is not for other scripts to change.
            record = self.records.read(setup, running)
            self.bring_to(running, spec, setup)
            if spec.resumes:
                record = replace(record, resume=self._runner.run(running, "resume", spec))
            yield self._finish(running, record)

    def bring_to(self, running: Running, spec: WorkspaceSpec, setup: Layer) -> None:
        """
        Bring a container of the layer *setup* to the commit, as Codex does before it resumes.

        Raises:
            ProjectionError: the commit cannot be checked out.
        """
        if setup.head != spec.snapshot.head:
            self._project(running, spec, sync=True, have=setup.head)

    def setup_from(self, running: Running, spec: WorkspaceSpec, run: ScriptRun) -> Recipe:
        """
        Return the recipe of the setup layer whose files are those of *running*, a container in
        which `setup-script.sh` has run and that is settled. It goes on to live.
        """

        @contextmanager
        def build(_below: Layer | None) -> Iterator[Build]:
            yield replace(self._finish(running, Record(run), run.log_path), ends=False)

        return replace(self.setup(spec), build=build)

    @contextmanager
    def _container(
        self, image: str, spec: WorkspaceSpec, phase: Phase, *, cwd: str | None = None
    ) -> Iterator[Running]:
        running = self._launcher.launch(
            image,
            spec.variables,
            phase,
            policy=spec.policy_in(phase),
            cwd=cwd or spec.project,
            cassette=spec.cassette_in(phase),
        )
        try:
            yield running
        finally:
            self._launcher.stop(running)

    def _finish(
        self, running: Running, record: Record | None = None, log_path: Path | None = None
    ) -> Build:
        # Codex keeps files, not processes; ended ones cannot write half a file.
        running.channel.kill_all()
        digest = self.records.write(running, record) if record else ""
        return Build(running.container, log_path, digest, ends=True)

    def settle(self, running: Running, spec: WorkspaceSpec) -> None:
        """
        End a run of `setup-script.sh`: no process is left, and the repository is on the
        branch `work` at the commit. Files that setup changed stay as they are.

        Codex does so when its cache is new, too; and a workspace is the same whether
        its setup ran now or at an earlier commit.

        Raises:
            ProjectionError: the commit cannot be checked out.
        """
        running.channel.kill_all()
        with switch_archive(spec.snapshot) as archive:
            result = self._check_out(running, archive, refuses=spec.profile.keeps_changes)
        if result.exit_code == OBJECTS_MISSING:
            self._project(running, spec, sync=True)
        else:
            self._tell(result, spec)

    def _project(
        self,
        running: Running,
        spec: WorkspaceSpec,
        *,
        sync: bool = False,
        have: str | None = None,
    ) -> None:
        """
        Bring the repository to the commit, after setup with *sync*. Only what is not in the commit
        that it may *have* is sent, unless setup has damaged that one.
        """
        snapshot = spec.snapshot
        where = (
            *(str(snapshot.path), snapshot.head, len(snapshot.submodules)),
            *(snapshot.tags, snapshot.depth, have),
        )
        with self._output.step(f"projecting {snapshot.name} at {snapshot.head[:12]}") as step:
            if where not in self._projections:
                self._projections[where] = Projection.of(
                    snapshot,
                    have=have,
                    on_scratch=lambda path: step.begin("packing", partial(_packed, path)),
                )
            projection = self._projections[where]
            step.begin("sending")

            def sent(done: int) -> None:
                step.advance(Advance(done, projection.size, "bytes"))

            with projection.open(sent) as archive:
                refuses = sync and spec.profile.keeps_changes
                result = self._check_out(running, archive, step, refuses=refuses)
        if have and result.exit_code == OBJECTS_MISSING:
            self._project(running, spec, sync=sync)
        else:
            self._tell(result, spec)

    def _check_out(
        self,
        running: Running,
        archive: BinaryIO,
        step: Step | None = None,
        *,
        refuses: bool = False,
    ) -> ExecResult:
        self._launcher.put(running, Projection.unpack_dir, archive)
        if step is not None:
            step.begin("checking out", partial(_checked_out, running))
        limit = self._config.setup_timeout
        try:
            # Filters of the repository may run here, and git itself may be setup's.
            env = {PROGRESS: "1", **({REFUSES: "1"} if refuses else {})}
            return running.channel.run(COMMAND, cwd="/", env=env, timeout=limit)
        except ExecTimeout:
            raise ProjectionError(
                f"git did not check the commit out within {limit:g} s in the workspace",
                remedy="See whether a filter of the repository (git config) waits for something.",
            ) from None

    def _tell(self, result: ExecResult, spec: WorkspaceSpec) -> None:
        """
        Report that a commit could not be checked out, or which changes of setup it undid.
        """
        snapshot = spec.snapshot
        at = snapshot.head[:12]
        if result.exit_code == REFUSED:
            script = spec.script("setup")
            raise switch_error(at, result.stdout, script=script.name if script else SETUP)
        if not result.ok:
            raise ProjectionError(
                f"{snapshot.path} at {at} could not be checked out in the "
                "workspace (the image needs git and python3):\n"
                f"{_REPORT.sub('', result.stderr).strip()[-2000:]}"
            )
        paths, more = _lost(result.stdout)
        if paths:
            others = f" and {counted(more, 'other')}" if more > 0 else ""
            self._output.note(
                f"warning: setup and the commit {at} both change {', '.join(paths)}{others}; "
                "the workspace has the commit's version (Codex would refuse to switch)"
            )

    def _select_runtimes(self, running: Running, spec: WorkspaceSpec) -> None:
        # In the project, as in Codex: nvm writes its .nvmrc there.
        result = running.channel.run(
            ["bash", "--login", "-c", f"exec {SELECT_RUNTIMES}"],
            cwd=spec.project,
            env={"CODEX_ENV_DEFAULTED": defaulted_runtimes(spec.env)},
            timeout=self._config.setup_timeout,
        )
        printed = (result.stdout + result.stderr).strip()
        if not result.ok:
            raise SetupError(
                f"the runtimes could not be selected in image {self._config.image!r}:\n{printed}",
                script=SELECT_RUNTIMES,
                exit_code=result.exit_code,
                tail=printed,
            )
        for line in self._notes.new(printed.splitlines()):
            self._output.note(line)

    def _setup_parts(self, spec: WorkspaceSpec) -> dict[str, object]:
        if spec.script("setup") is None:
            raise SetupError(_no_setup_script(spec), script=SETUP)
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


def _packed(scratch: Path) -> Advance:
    sizes = (path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return Advance(sum(sizes), 0, "bytes")


def _checked_out(running: Running) -> Advance | None:
    """
    Return what the program in the container says of its progress.
    """
    found = _REPORT.findall("\n".join(running.channel.running()))
    return Advance(int(found[-1][0]), int(found[-1][1]), "files") if found else None


def _lost(said: str) -> tuple[list[str], int]:
    """
    Return the paths that the projection's `COMMAND` names, and the number of others. What it
    prints may come from a program that setup has put in place of git or Python.
    """
    try:
        values = json.loads(said[:_SAID_LIMIT])
        paths = [printable(str(path)[:200]) for path in values["paths"][:_SHOWN]]
        return paths, int(values["lost"]) - len(paths)
    except (KeyError, TypeError, ValueError, OverflowError):
        return [], 0


def _no_setup_script(spec: WorkspaceSpec) -> str:
    snapshot = spec.snapshot
    at = f"{snapshot.path} at {snapshot.head[:12]}"
    if snapshot.scripts_tree is None:
        option = spell_option("setup-script", "PATH")
        return (
            f"there is a maintenance script ({spec.given.maintenance.name}), but no setup script: "
            f"{at} has no {SETUP}. Give the setup script with {option}."
            if spec.given.maintenance
            else f"{at} has no {SETUP}."
        )
    return (
        f"{snapshot.path} has {SCRIPTS}/ at {snapshot.head[:12]}, but no setup-script.sh in it, "
        f"which this folder must have. (The folder is a convention of this package: Codex has its "
        f"setup script in the environment's settings.) Add and commit {SETUP}, or remove the "
        "directory."
    )


def _layer_of(layer: Layer | None) -> Layer:
    assert layer is not None  # noqa: S101 -- only a clean layer stands on the base image
    return layer
