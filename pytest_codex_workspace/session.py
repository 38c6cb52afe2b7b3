"""One run, and the workspaces made in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from . import images
from .codex import workspace_environment
from .config import Config
from .errors import EngineError
from .idempotence import differences
from .launch import Phase, Running
from .layers import Order, UnusableLayer
from .layerstore import Layer
from .network.log import NetworkLog
from .network.request import Request
from .output import Output
from .parts import Parts
from .paths import bind
from .scripts import RESUME, SETUP, ScriptRun
from .workspace import SetupResult, Workspace

__all__ = ["Session", "State"]

T = TypeVar("T")

_ATTEMPTS = 4
"""A workspace stands on up to three cached layers, and each may turn out to be gone or broken."""

Cache = Literal["hit", "miss", "off"]

State = Literal["ready", "hit", "miss", "setup", "clean"]
"""
What a workspace is wanted as: `ready` is setup and resume, made if need be;
`hit` the same, and reported as coming from the cache; `miss` a clean one in
which setup runs now; `setup` the committed image as it is, at the commit it
was made from; `clean` without setup.
"""


class Session(Parts):
    """
    One run: its parts, and the workspaces made from them.
    """

    def __init__(self, config: Config, output: Output) -> None:
        super().__init__(config, output)
        self._live: dict[str, tuple[Running, tuple[Layer, ...]]] = {}
        self._before: dict[str, tuple[Request, ...]] = {}
        self._records: dict[str, tuple[ScriptRun | None, ScriptRun | None]] = {}

    def workspace(self, order: Order, state: State) -> Workspace:
        """
        Start a workspace.

        Args:
            order: what to make it of.
            state: what to start from.

        Raises:
            CodexWorkspaceError: one of the parts could not be made.
        """
        plain = state == "clean" or order.snapshot.scripts_tree is None
        if not plain:
            # What is missing is told before minutes are spent on images.
            _ = order.secrets.values
        with self._lock:
            self.isolation.revive()
            if plain:
                return self._from_clean(order)
            if state == "miss":
                return self._set_up(order)
            if self.config.cache == "off":
                resume = state != "setup"
                made = self._whatever_is_missing(
                    lambda: self.layers.outside_cache(order, resume=resume)
                )
                return self._from_setup(order, lambda: made, "off", made)
            setup = self._whatever_is_missing(lambda: self.layers.setup(order))
            fresh = setup.made and state != "hit"

            def find() -> tuple[Layer, ...]:
                below = self.layers.setup(order)
                above = below if state == "setup" else self.layers.ready(order, below)
                return (below,) if above.image == below.image else (above, below)

            return self._from_setup(order, find, "miss" if fresh else "hit")

    def repeat_resume(self, order: Order) -> list[str]:
        """
        What a second run of `setup-from-cache-script.sh` changes, one line a path.

        Raises:
            SetupError: it fails when it runs again.
        """
        pristine, repeated = (self.workspace(order, "ready") for _ in range(2))
        running = self._live[repeated.container][0]
        # Engines compare times by the second: what is written in the same one looks unchanged.
        made = int(time.time())
        while int(time.time()) <= made:
            time.sleep(0.05)
        self.launcher.enter(running, "resume", order.setup_policy, order.setup_tape)
        self.layers.run(running, RESUME, order, "resume")
        running.channel.kill_all()
        return differences(self.engine, repeated, pristine)

    def stop(self, workspace: Workspace, *, keep: bool = False) -> str | None:
        """
        End a workspace; with *keep*, make an image of its files first.

        Returns:
            The image's name if it was kept.
        """
        running, temporary = self._live.pop(workspace.container, (None, ()))
        if running is None:
            return None
        try:
            if not keep or self.engine.container(running.container) is None:
                return None
            kept = f"{images.IMAGE}:kept-{running.container[:12]}"
            marks = self._identity.labels("kept")
            self.engine.commit(running.container, tag=kept, labels=marks)
        finally:
            before = self._before.pop(running.container, ())
            workspace.network.end([*before, *self.launcher.last_requests(running)])
            self.launcher.stop(running, lambda: self.store.discard(temporary))
        return kept

    def close(self) -> None:
        """
        End every workspace and remove what is not a cache.
        """
        for running, _ in self._live.values():
            self._closers.append(partial(self.launcher.stop, running))
        self._live.clear()
        super().close()

    def _from_clean(self, order: Order) -> Workspace:
        running = self._launch(order, lambda: (self.layers.clean(order),))[0]
        return self._handle(order, running, SetupResult("none"))

    def _set_up(self, order: Order) -> Workspace:
        key = self.layers.setup_key(order)
        running = self._launch(order, lambda: (self.layers.clean(order),), "setup")[0]
        with self._stopped_on_error(running):
            run = self.layers.run(running, SETUP, order, "setup")
            # Codex keeps files, not processes.
            running.channel.kill_all()
            self.launcher.enter(running, "test", order.policy, order.tape)
            setup = self._result(key, "miss", [run], run.log_path)
            return self._handle(order, running, setup)

    def _from_setup(
        self,
        order: Order,
        find: Callable[[], tuple[Layer, ...]],
        cache: Cache,
        temporary: tuple[Layer, ...] = (),
    ) -> Workspace:
        key = self.layers.setup_key(order)
        running, layer = self._launch(order, find)
        with self._stopped_on_error(running):
            if layer.image not in self._records:
                self._records[layer.image] = self.layers.records(running)
            setup, resume = self._records[layer.image]
            log_path = self.layers.log(order, layer, [setup, resume])
            result = self._result(key, cache, [setup, resume], log_path)
            # Setup happened in another workspace's life, resume in this one's.
            before = (setup.requests if setup and cache == "off" else ()) + (
                resume.requests if resume else ()
            )
            return self._handle(order, running, result, before, temporary, head=layer.head)

    @contextmanager
    def _stopped_on_error(self, running: Running) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._live.pop(running.container, None)
            self.launcher.stop(running)
            raise

    @staticmethod
    def _result(
        key: str, cache: Cache, runs: Sequence[ScriptRun | None], log_path: Path | None
    ) -> SetupResult:
        ran = [run for run in runs if run is not None]
        return SetupResult(
            cache,
            output="".join(run.output for run in ran),
            duration=sum(run.duration for run in ran),
            log_path=log_path,
            key=key,
            requests=ran[0].requests if ran else (),
        )

    def _launch(
        self, order: Order, find: Callable[[], tuple[Layer, ...]], phase: Phase = "test"
    ) -> tuple[Running, Layer]:
        """
        Start from the first of the layers that *find* returns, which stands on the others.
        """

        def launch() -> tuple[Running, tuple[Layer, ...]]:
            layers = find()
            return self.layers.launch(layers[0].image, order, phase), layers

        running, layers = self._whatever_is_missing(launch)
        self.store.served(layers)
        return running, layers[0]

    def _whatever_is_missing(self, make: Callable[[], T]) -> T:
        """
        What *make* returns, although somebody removed an image since it was
        looked up, or one turns out to be broken.
        """
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                return make()
            except EngineError:
                if last or not self.store.forget_missing():
                    raise
            except UnusableLayer as error:
                if last or not self.store.distrust(error.image, str(error)):
                    raise error.cause from None
        raise AssertionError("the last attempt returns or raises")

    def _handle(
        self,
        order: Order,
        running: Running,
        setup: SetupResult,
        before: tuple[Request, ...] = (),
        temporary: tuple[Layer, ...] = (),
        head: str | None = None,
    ) -> Workspace:
        self._live[running.container] = running, temporary
        self._before[running.container] = before
        return Workspace(
            self.engine,
            running.container,
            running.channel,
            project=order.project,
            paths=bind(running.channel, order.project),
            head=head or order.snapshot.head,
            env=workspace_environment(order.env),
            setup=setup,
            network=NetworkLog(
                lambda: [*before, *self.launcher.requests(running)],
                self.launcher.control(running, self.read_policy),
            ),
        )
