"""How the images between the base image and a workspace are made.

clean: the base with a commit projected into it and its runtimes selected.
setup: a clean one in which `setup-script.sh` ran.
ready: a setup one brought to a commit, in which `setup-from-cache-script.sh` ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .codex import defaulted_runtimes
from .config import Config
from .errors import (
    CacheMiss,
    CodexWorkspaceError,
    EngineError,
    ProjectionError,
    SetupError,
    WorkspaceLost,
)
from .images import IMAGE
from .keys import Hidden, fingerprint, key_of
from .launch import Launcher, Phase, Running
from .layerstore import Layer, LayerStore, Marks
from .network.policy import HTTPS_ONLY, Policy
from .output import Output
from .projection import Projection
from .quantities import show_duration
from .repository import RepositorySnapshot
from .scripts import RESUME, SETUP, ScriptRun, run_script
from .secret import NO_SECRETS, Secrets
from .trust import cache_dir

__all__ = ["Layers", "Order", "UnusableLayer", "setup_parts"]

_SELECT_RUNTIMES = "/opt/codex/setup_universal.sh"
_RECORD = "/opt/codex/{}-record.json"
_DAMAGE = ("overlay mount", "failed to mount", "layer does not exist", "runtime create failed")
"""What engines say of an image whose files are gone from their disk."""

_RECORD_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a workspace is wanted of: a commit, variables besides Codex's, those
    that only its scripts get, and what may be reached while they run and
    afterwards.

    `setup_tape` and `tape` are the cassettes of either, `played` the digest
    of the one that setup is played from.
    """

    snapshot: RepositorySnapshot
    env: Mapping[str, str] = field(default_factory=dict)
    setup_policy: Policy = HTTPS_ONLY
    policy: Policy = HTTPS_ONLY
    setup_tape: str | None = None
    tape: str | None = None
    played: str = ""
    secrets: Secrets = NO_SECRETS

    @property
    def project(self) -> str:
        """
        The project directory.
        """
        return f"/workspace/{self.snapshot.name}"

    def policy_in(self, phase: Phase) -> Policy:
        """
        What may be reached in *phase*. Codex applies an environment's policy
        once its scripts have run.
        """
        return self.policy if phase == "test" else self.setup_policy

    def tape_in(self, phase: Phase) -> str | None:
        """
        The cassette of *phase*.
        """
        return self.tape if phase == "test" else self.setup_tape


class UnusableLayer(Exception):
    """
    No workspace comes up from an image. Whoever had it made makes it anew, or raises `cause`.
    """

    def __init__(self, image: str, cause: CodexWorkspaceError) -> None:
        super().__init__(str(cause))
        self.image = image
        self.cause = cause


def setup_parts(order: Order, *, base: str, platform: str) -> dict[str, object]:
    """
    Everything that goes into a setup image, by name; `keys.key_of` makes its
    key of it.

    This machine's certificate authority has no part in it: whoever starts an
    image from elsewhere gives it the right certificate.

    Args:
        order: what is wanted.
        base: `images.base_identity` of the base image.
        platform: of the engine.

    Raises:
        SecretError: a secret is not set.
    """
    snapshot, secrets = order.snapshot, order.secrets
    return {
        "base": base,
        "platform": platform,
        "repository": snapshot.identity,
        "name": snapshot.name,
        "scripts": snapshot.scripts_tree,
        "submodules": bool(snapshot.submodules),
        "environment": dict(order.env),
        "policy": order.setup_policy.to_dict(),
        **({"cassette": order.played} if order.played else {}),
        # A layer is public to whoever reads its labels; a digest could be guessed at.
        **({"secrets": list(secrets.names)} if secrets.names else {}),
        **({"secret values": Hidden(secrets.digest(snapshot.identity))} if secrets.names else {}),
    }


class Layers:
    """
    Makes layers, or has the store find them.

    Args:
        store: keeps them.
        launcher: starts the containers they are made in.
        base: makes the base image if it is needed, and returns its id.
        identity: of the base image, which is known without making it.
        platform: of the engine.
        config: cache mode and time limit.
        output: told of each step.
    """

    def __init__(
        self,
        store: LayerStore,
        launcher: Launcher,
        *,
        base: Callable[[], str],
        identity: str,
        platform: str,
        config: Config,
        output: Output,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._base = base
        self._identity = identity
        self._platform = platform
        self._config = config
        self._output = output
        self._told: set[str] = set()
        self._logs: dict[str, Path | None] = {}
        self._projections: dict[tuple[str, str, int], Projection] = {}

    def close(self) -> None:
        """
        Give back the space that projections take.
        """
        for projection in self._projections.values():
            projection.close()

    def clean(self, order: Order) -> Layer:
        """
        The layer with the commit, and nothing run.

        Raises:
            ProjectionError: the commit could not be checked out.
            SetupError: a runtime was asked for that the image does not have.
        """
        snapshot = order.snapshot
        chosen = {key: value for key, value in order.env.items() if key.startswith("CODEX_ENV_")}
        key = key_of(
            {
                "base": self._identity,
                "platform": self._platform,
                "authority": self._launcher.authority,
                "repository": snapshot.identity,
                "name": snapshot.name,
                "head": snapshot.head,
                "submodules": len(snapshot.submodules),
                "runtimes": chosen,
            }
        )

        def make() -> Layer:
            with self._container(self._base(), order, "setup", cwd="/") as box:
                self._project(box, order)
                self._select_runtimes(box, order)
                return self._commit(box, "clean", key, order)

        return self._store.get("clean", key, make)

    def setup_key(self, order: Order) -> str:
        """
        The key of the setup layer.

        Raises:
            SetupError: `setup-script.sh` is not in the commit.
        """
        snapshot = order.snapshot
        if not snapshot.has_setup:
            raise SetupError(
                f"{snapshot.path} has codex-workspace-scripts/ at {snapshot.head[:12]}, but no "
                "setup-script.sh in it, which Codex requires. Add and commit "
                f"{SETUP}, or remove the directory.",
                script=SETUP,
            )
        return key_of(self._parts(order))

    def _parts(self, order: Order) -> dict[str, object]:
        return setup_parts(order, base=self._identity, platform=self._platform)

    def setup(self, order: Order) -> Layer:
        """
        The layer in which `setup-script.sh` ran, at whatever commit it was
        when it was made.

        Raises:
            SetupError: the script failed; the cache is as it was.
            CacheMiss: the cache mode is `require`, and there is none.
        """
        key = self.setup_key(order)

        def make() -> Layer:
            if self._config.cache == "require":
                raise CacheMiss(
                    f"--codex-cache=require, and there is no image {IMAGE}:setup-{key} for "
                    f"{order.snapshot.name} younger than {show_duration(self._config.cache_ttl)}. "
                    "`codex-workspace cache explain` says why. Run once with "
                    "--codex-cache=auto to make it."
                )
            return self._make_setup(order, key)

        return self._store.get("setup", key, make)

    def ready(self, order: Order, setup: Layer) -> Layer:
        """
        The layer that tests start from: *setup* brought to the commit.

        Raises:
            SetupError: `setup-from-cache-script.sh` failed.
        """
        if not self._needs_resume(order, setup):
            return setup
        authority = self._launcher.authority
        key = key_of({"setup": setup.image, "head": order.snapshot.head, "authority": authority})
        return self._store.get("ready", key, lambda: self._make_ready(order, setup, key))

    def outside_cache(self, order: Order, *, resume: bool = True) -> tuple[Layer, ...]:
        """
        A ready layer and what it stands on, made anew for one workspace; the
        store discards them when it ends. Without *resume*, a setup layer.
        """
        key = self.setup_key(order)
        setup = self._store.once(key, lambda: self._make_setup(order, key, keep=False))
        if not resume or not self._needs_resume(order, setup):
            return (setup,)
        return self._make_ready(order, setup, setup.key, keep=False), setup

    def launch(self, image: str, order: Order, phase: Phase, *, cwd: str | None = None) -> Running:
        """
        Start a container of *image* for *order*.

        Raises:
            UnusableLayer: it was started, and its agent did not answer; or
                its files cannot be put together.
            EngineError: the engine refused.
        """
        try:
            return self._launcher.launch(
                image,
                order.env,
                phase,
                policy=order.policy_in(phase),
                cwd=cwd or order.project,
                tape=order.tape_in(phase),
            )
        except WorkspaceLost as error:
            raise UnusableLayer(image, error) from None
        except EngineError as error:
            if not any(words in str(error).lower() for words in _DAMAGE):
                raise
            raise UnusableLayer(image, error) from None

    def run(self, box: Running, script: str, order: Order, phase: Phase) -> ScriptRun:
        """
        Run *script* in *box*.

        Raises:
            SetupError: it failed.
            SecretError: a secret that it needs is not set.
        """
        if order.secrets.names:
            self._output.note(f"{script} gets the secrets {', '.join(order.secrets.names)}")
        with self._output.step(f"running {script}"):
            run = run_script(
                box.channel,
                script,
                project=order.project,
                timeout=self._config.setup_timeout,
                log_path=self._log_path(order, f"{box.container[:12]}-{phase}"),
                show=self._output.script,
                secrets=order.secrets,
            )
        requests = self._launcher.requests(box)
        return replace(run, requests=tuple(one for one in requests if one.phase == phase))

    def log(self, order: Order, layer: Layer, runs: Sequence[ScriptRun | None]) -> Path | None:
        """
        A file on this machine with what *runs*, which led to *layer*, printed;
        `None` where it cannot be written.
        """
        if layer.image in self._logs:
            return self._logs[layer.image]
        path = self._log_path(order, layer.image.removeprefix("sha256:")[:12])
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text("".join(run.output for run in runs if run), encoding="utf-8")
        except OSError:
            return None
        self._logs[layer.image] = path
        return path

    @staticmethod
    def records(box: Running) -> tuple[ScriptRun | None, ScriptRun | None]:
        """
        The runs of both scripts that led to the image *box* was started
        from. They travel inside it, so a cache from elsewhere has them too.
        """
        runs: list[ScriptRun | None] = []
        for phase in ("setup", "resume"):
            try:
                text = box.channel.read_file(_RECORD.format(phase), limit=_RECORD_LIMIT).decode(
                    "utf-8"
                )
                runs.append(ScriptRun.from_json(text))
            except WorkspaceLost:
                raise
            except (OSError, ValueError):
                runs.append(None)
        return runs[0], runs[1]

    @staticmethod
    def _log_path(order: Order, what: str) -> Path:
        return cache_dir() / "logs" / f"{order.snapshot.name}-{what}.log"

    def _needs_resume(self, order: Order, setup: Layer) -> bool:
        # One from another machine gets our certificate once, and not at each start.
        foreign = setup.ca != self._launcher.authority
        return foreign or setup.head != order.snapshot.head or order.snapshot.has_resume

    def _make_setup(self, order: Order, key: str, *, keep: bool = True) -> Layer:
        clean = self.clean(order)
        with self._container(clean.image, order, "setup") as box:
            run = self.run(box, SETUP, order, "setup")
            self._recorded(box, run, "setup")
            layer = self._commit(box, "setup", key, order, keep=keep)
        self._logs[layer.image] = run.log_path
        return layer

    def _make_ready(self, order: Order, setup: Layer, key: str, *, keep: bool = True) -> Layer:
        with self._container(setup.image, order, "resume") as box:
            if setup.head != order.snapshot.head:
                self._project(box, order)
            if order.snapshot.has_resume:
                self._recorded(box, self.run(box, RESUME, order, "resume"), "resume")
            return self._commit(box, "ready", key, order, keep=keep)

    def _project(self, box: Running, order: Order) -> None:
        snapshot = order.snapshot
        where = (str(snapshot.path), snapshot.head, len(snapshot.submodules))
        with self._output.step(f"projecting {snapshot.name} at {snapshot.head[:12]}"):
            if where not in self._projections:
                self._projections[where] = Projection.of(snapshot)
            projection = self._projections[where]
            with projection.open() as archive:
                self._launcher.put(box, "/", archive)
            result = box.channel.run(projection.command, cwd="/")
        if not result.ok:
            raise ProjectionError(
                f"{snapshot.path} at {snapshot.head[:12]} could not be checked out in the "
                f"workspace (the image needs git and python3):\n{result.stderr.strip()[-2000:]}"
            )

    def _select_runtimes(self, box: Running, order: Order) -> None:
        argv = ["bash", "--login", "-c", f"[ ! -e {_SELECT_RUNTIMES} ] || exec {_SELECT_RUNTIMES}"]
        result = box.channel.run(
            argv, cwd="/", env={"CODEX_ENV_DEFAULTED": defaulted_runtimes(order.env)}
        )
        printed = (result.stdout + result.stderr).strip()
        if not result.ok:
            raise SetupError(
                f"the runtimes could not be selected in image {self._config.image!r}:\n{printed}",
                script=_SELECT_RUNTIMES,
                exit_code=result.exit_code,
                tail=printed,
            )
        for line in printed.splitlines():
            if line not in self._told:
                self._told.add(line)
                self._output.note(line)

    @staticmethod
    def _recorded(box: Running, run: ScriptRun, phase: Phase) -> None:
        box.channel.write_file(_RECORD.format(phase), run.to_json().encode("utf-8"))

    def _commit(
        self, box: Running, kind: str, key: str, order: Order, *, keep: bool = True
    ) -> Layer:
        # Codex keeps files, not processes; ended ones cannot write half a file.
        box.channel.kill_all()
        snapshot = order.snapshot
        marks = Marks(
            repo=snapshot.identity,
            name=snapshot.name,
            head=snapshot.head,
            ca=self._launcher.authority,
            parts=fingerprint(self._parts(order)) if kind == "setup" else None,
        )
        return self._store.commit(box.container, kind, key, marks, keep=keep)

    @contextmanager
    def _container(
        self, image: str, order: Order, phase: Phase, *, cwd: str | None = None
    ) -> Iterator[Running]:
        box = self.launch(image, order, phase, cwd=cwd)
        try:
            yield box
        finally:
            self._launcher.stop(box)
