"""What one process shares between its workspaces: engine, network, images, layers, policies."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from . import images, trust
from .cassettes import Cassettes
from .config import Config
from .engine.find import find_engine
from .engine.protocol import Engine, ImageInfo
from .errors import CodexWorkspaceError, EngineError, EngineUnavailable, ProxyError
from .identity import Identity
from .launch import Launcher
from .layers import Layers, Order
from .layerstore import LayerStore
from .locks import machine_lock
from .network.control import PolicyLike
from .network.here import own_addresses
from .network.isolation import Isolation, ProxySettings
from .network.policy import HTTPS_ONLY, OFFLINE, Policy
from .network.policy_file import PolicyReader
from .network.upstream import InvalidUpstream, UpstreamProxy, choose
from .output import Output
from .repository import RepositorySnapshot, open_repository
from .secret import Secrets
from .shared import SharedCache
from .sweep import remove_session, sweep
from .usage import usage_on

__all__ = ["Parts"]

T = TypeVar("T")

_REGISTRIES = "/opt/codex/registries.json"


class Parts:
    """
    The parts of a session. Each is made on first use; `close` removes all but
    the caches.

    Args:
        config: the options.
        output: what a person sees.
    """

    def __init__(self, config: Config, output: Output) -> None:
        self.config = config
        self.output = output
        self.secrets = Secrets(config.secret, os.environ)
        self._identity = Identity()
        self._lock = threading.RLock()
        self._closers: list[Callable[[], None]] = []
        self._failures: dict[str, CodexWorkspaceError] = {}

    @cached_property
    def engine(self) -> Engine:
        """
        The container engine. What ended sessions left on it is removed.

        Raises:
            EngineUnavailable: none answers.
        """
        engine = find_engine(self.config.engine)
        self._closers.append(engine.close)
        self._closers.append(self._remove_own)
        sweeper = threading.Thread(target=_sweep_quietly, args=(engine,), daemon=True)
        sweeper.start()
        self._closers.append(sweeper.join)
        return engine

    def _remove_own(self) -> None:
        for text in remove_session(self.engine, self._identity.id):
            self.output.note(f"{text}; it is empty and does no harm, and a later run removes it")

    @cached_property
    def isolation(self) -> Isolation:
        """
        The network and the proxy.

        Raises:
            ImageBuildError: the proxy image could not be built.
            ProxyError: the proxy did not start, or the upstream proxy that the
                environment names cannot be used.
        """
        return self._once("isolation", self._isolate)

    def _isolate(self) -> Isolation:
        upstream = self.upstream()
        image = images.ensure_proxy_image(self.engine, output=self.output)
        isolation = Isolation(self.engine, self._identity, image)
        self._closers.append(isolation.close)
        ca = trust.load_ca()
        if ca is not None:
            self._open(isolation, ca, upstream)
            return isolation
        lock = trust.cache_dir() / "locks" / "ca.lock"
        with machine_lock(lock, "this machine's certificate authority", self.output.note):
            self._open(isolation, trust.load_ca(), upstream)
            if isolation.info.new_ca is not None:
                trust.store_ca(isolation.info.new_ca)
        return isolation

    def _open(self, isolation: Isolation, ca: bytes | None, upstream: UpstreamProxy | None) -> None:
        isolation.open(
            ProxySettings(
                ca=ca,
                upstream_ca=trust.host_bundle(),
                policy=HTTPS_ONLY,
                refuse=own_addresses(),
                bodies=self.config.network_bodies,
                cassette=self.config.cassette,
                upstream=upstream,
            )
        )

    def upstream(self) -> UpstreamProxy | None:
        """
        The proxy that leads out of here, if there is one.

        Raises:
            ProxyError: it cannot be used.
        """
        try:
            return choose(self.config.upstream_proxy, os.environ)
        except InvalidUpstream as error:
            raise ProxyError(str(error)) from None

    @cached_property
    def image(self) -> ImageInfo:
        """
        The base image.

        Raises:
            ImageBuildError: it could not be built, or there is none of that
                name.
        """
        return self._once("image", self._ensure_image)

    def _ensure_image(self) -> ImageInfo:
        return images.ensure_base_image(
            self.engine,
            self.config.image,
            ca_certificate=self.isolation.info.ca_certificate,
            output=self.output,
        )

    def _once(self, what: str, make: Callable[[], T]) -> T:
        """
        What takes minutes to fail is not tried again for each test.
        """
        if what in self._failures:
            raise self._failures[what].with_traceback(None)
        try:
            return make()
        except CodexWorkspaceError as error:
            self._failures[what] = error
            raise

    @cached_property
    def base_identity(self) -> str:
        """
        What the base image is made from, known without making it.

        Raises:
            ImageBuildError: there is no image of that name.
        """
        return images.base_identity(self.engine, self.config.image, output=self.output)

    @property
    def base_tag(self) -> str:
        """
        The base image's tag for what it is made of.
        """
        return next((tag for tag in self.image.tags if ":base-" in tag), f"{images.IMAGE}:latest")

    @cached_property
    def launcher(self) -> Launcher:
        """
        Starts containers on the session's network.
        """
        return Launcher(self.engine, self.isolation, self._identity, self.secrets)

    @cached_property
    def store(self) -> LayerStore:
        """
        The layers of this session.
        """
        store = LayerStore(
            self.engine,
            self._identity,
            self.config,
            self.output,
            usage_on(self.engine),
            self._shared_cache(),
        )
        self._closers.append(store.close)
        # Layers can go only when the containers that stand on them are gone.
        self._closers.append(self.isolation.settle)
        return store

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
        )

    @cached_property
    def layers(self) -> Layers:
        """
        Makes layers.
        """
        layers = Layers(
            self.store,
            self.launcher,
            base=lambda: self.image.id,
            identity=self.base_identity,
            platform=self.engine.platform,
            config=self.config,
            output=self.output,
        )
        self._closers.append(layers.close)
        return layers

    @staticmethod
    def repository(path: str | Path, rev: str = "HEAD") -> RepositorySnapshot:
        """
        A repository at a commit.

        Raises:
            ProjectionError: it cannot be projected.
        """
        return open_repository(path, rev, environ=os.environ)

    @cached_property
    def policies(self) -> PolicyReader:
        """
        Reads the policies that tests and options name.
        """
        return PolicyReader(self._registries)

    def read_policy(self, policy: PolicyLike) -> Policy:
        """
        The policy that a test or an option names.

        Raises:
            PolicyError: it cannot be used.
        """
        return self.policies.read(policy)

    @cached_property
    def cassettes(self) -> Cassettes | None:
        """
        What is recorded or played, if anything is.
        """
        mode = self.config.cassette
        if mode == "off":
            return None
        isolation = self.isolation
        made = Cassettes(
            mode,
            isolation.proxy,
            self.output,
            renew_scripts=self.config.renew_cassette,
            secrets=self.secrets,
        )
        self._closers.append(made.save)
        # A request is recorded when it has come to its end.
        self._closers.append(isolation.settle)
        return made

    def order(
        self,
        snapshot: RepositorySnapshot,
        env: Mapping[str, str],
        *,
        policy: Policy | None = None,
        cassette: str | None = None,
    ) -> Order:
        """
        What a workspace is made of, by the options of the run.

        Args:
            snapshot: what to project.
            env: variables besides Codex's.
            policy: what it may reach; without it what the options say.
            cassette: for what it requests after its scripts.

        Raises:
            PolicyError: a policy cannot be used.
            CassetteError: a cassette cannot be used.
            SecretError: a variable is a secret, too.
        """
        self.secrets.check_apart(env)
        order = Order(
            snapshot,
            env,
            secrets=self.secrets,
            setup_policy=self.read_policy(self.config.network_setup),
            policy=policy or self.read_policy(self.config.network),
        )
        if self.cassettes is None:
            return order
        return replace(
            order,
            setup_tape=self.cassettes.tape(snapshot.path, None),
            tape=self.cassettes.tape(snapshot.path, cassette),
            played=self.cassettes.digest(snapshot.path),
        )

    def _registries(self) -> Mapping[str, Sequence[str]]:
        """
        Where the base image's pip, npm and apt get packages from. Asked of the
        image itself: in a layer made from it a script could have changed it.
        """
        cached = trust.cache_dir() / "registries" / f"{self.image.id.rpartition(':')[2]}.json"
        with suppress(OSError, ValueError):
            found: dict[str, list[str]] = json.loads(cached.read_text("ascii"))
            return found
        with self._lock:
            box = self.launcher.launch(self.image.id, {}, "setup", policy=OFFLINE, cwd="/")
            try:
                found = json.loads(box.channel.read_file(_REGISTRIES, limit=1 << 16))
            except FileNotFoundError:
                self.output.note(
                    f"{self.base_tag} does not say where its packages come from: the presets are "
                    "without package registries"
                )
                return {}
            finally:
                self.launcher.stop(box)
        with suppress(OSError):
            cached.parent.mkdir(exist_ok=True)
            cached.write_text(json.dumps(found), "ascii")
        return found

    def close(self) -> None:
        """
        Remove what is not a cache. An error of the clean-up is raised at its
        end, unless another error is on its way.
        """
        interrupted = sys.exc_info()[1] is not None
        errors: list[BaseException] = []
        while self._closers:
            try:
                self._closers.pop()()
            except BaseException as error:
                errors.append(error)
        if errors and not interrupted:
            raise errors[0]


def _sweep_quietly(engine: Engine) -> None:
    # It is a courtesy of every run; `codex-workspace clean` reports what fails.
    with suppress(EngineError, EngineUnavailable):
        sweep(engine)
