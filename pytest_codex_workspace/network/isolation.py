"""Isolate workspaces: an internal network, the proxy, and holders of network namespaces.

A holder is a tiny container that owns a network namespace. It removes every
route except the one to the proxy, drops the capability to change routes, and
lends its namespace to one workspace after another.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ..codex import NETWORK_HOLDER, PROXY_PROGRAM
from ..engine import labels
from ..engine.diagnose import describe_container
from ..engine.protocol import ContainerSpec, Engine, ImageInfo, NetworkInfo, Stream
from ..engine.session_id import Identity
from ..engine.sweep import sweep
from ..errors import CodexWorkspaceError, EngineError, EngineUnavailable, ProxyError
from .proxy_client import ProxyClient
from .rules.policy import Policy
from .rules.upstream import UpstreamProxy

__all__ = ["Holder", "Isolation", "ProxySettings"]

_PROXY_COMMAND = ("python3", "-I", "-u", PROXY_PROGRAM)
_HOLDER_COMMAND = ("python3", "-I", "-S", "-u", NETWORK_HOLDER)
_PROXY_MEMORY = 1 << 30
"""A last resort, in bytes: several workspaces together stay far below this limit."""
_RESOLVER = {
    # Behind an engine's address translation, two simultaneous queries from one port are often
    # dropped (a race in the kernel's connection tracking), and the look-up stalls.
    "RES_OPTIONS": "single-request-reopen timeout:2 attempts:3",
}
_SYSCTLS = {
    # Drop packets from everyone but the proxy, including broadcasts of neighbours.
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}

_RESTART = 30.0
"""Seconds to wait for an engine that is being restarted."""


@dataclass(frozen=True, slots=True)
class Holder:
    """
    A network namespace that workspaces borrow.

    Attributes:
        container: id of the container that owns the namespace.
        address: address of the namespace, by which `proxy` identifies a workspace.
        stream: standard streams of the container; closing them ends it.
        proxy: the proxy that the namespace leads to.
    """

    container: str
    address: str
    stream: Stream
    proxy: ProxyClient


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """
    Settings for the proxy of a session.

    Attributes:
        ca: key and certificate of this machine's authority, as PEM; `None` lets
            the proxy create an authority.
        upstream_ca: PEM certificates that the proxy trusts besides certifi's.
        policy: policy of workspaces without one of their own.
        refuse: networks (CIDR) that no policy can open.
        bodies: number of bytes to keep of each body.
        cassette: `record`, `replay` or `off`. For `replay`, the proxy is not
            connected to the outside.
        upstream: the upstream proxy; `None` to connect directly.
    """

    ca: bytes | None
    upstream_ca: bytes
    policy: Policy
    refuse: Sequence[str] = ()
    bodies: int = 0
    cassette: str = "off"
    upstream: UpstreamProxy | None = None


class Isolation:
    """
    The network of one session.

    `close` stops the containers. Clean-up by the session's label removes them and
    the network.

    Args:
        engine: the container engine.
        identity: the session that owns the network.
        image: the proxy image.
    """

    def __init__(self, engine: Engine, identity: Identity, image: ImageInfo) -> None:
        self._engine = engine
        self._identity = identity
        self._image = image
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="codex-isolation")
        self._made: list[Future[Holder]] = []
        self._idle: list[Future[Holder]] = []
        self._releases: list[Future[None]] = []
        self._streams = ExitStack()
        self._network: NetworkInfo | None = None
        self._gone = False

    def open(self, settings: ProxySettings) -> None:
        """
        Create the network and start the proxy.

        Raises:
            ProxyError: the proxy did not start.
            EngineError: the engine could not create a network or container.
        """
        self._settings = settings
        self._start()

    def revive(self) -> None:
        """
        Start the proxy and a holder again if they have ended.

        They end when the engine is restarted. The state of the old proxy is lost.

        Raises:
            ProxyError: the proxy did not start, or it was recording or replaying
                a cassette, which cannot be resumed.
            EngineError: the engine could not create a container.
        """
        with self._lock:
            if not self.proxy.lost:
                return
            if self._settings.cassette != "off":
                # The recording, or the loaded cassette, was lost with the proxy: let this raise.
                self.proxy.ping()
            self._forget()
            # The next proxy must use the authority that this one may have created.
            self._settings = replace(self._settings, ca=self.info.new_ca or self._settings.ca)
        self._await_engine()
        self._start()

    def _await_engine(self) -> None:
        """
        Wait for an engine that is being restarted, but only once for each outage.
        """
        deadline = time.monotonic() + (0.0 if self._gone else _RESTART)
        while True:
            try:
                self._engine.networks({labels.SESSION: self._identity.id})
            except EngineUnavailable:
                self._gone = time.monotonic() > deadline
                if self._gone:
                    raise
                time.sleep(0.2)
            else:
                self._gone = False
                return

    def _forget(self) -> None:
        for one in self._made:
            if one.done() and one.exception() is None:
                one.result().stream.close()
        self._made, self._idle = [], []
        self._streams.close()
        self._streams = ExitStack()

    def _start(self) -> None:
        engine, identity = self._engine, self._identity
        self._network = self._existing_network() or self._new_network()
        container = engine.create(
            ContainerSpec(
                image=self._image.id,
                command=_PROXY_COMMAND,
                environment=_RESOLVER,
                name=identity.name("proxy"),
                labels=identity.labels("proxy"),
                network=self._network.name,
                aliases=("proxy",),
                cap_drop=("NET_RAW",),
                no_new_privileges=True,
                pids_limit=256,
                memory_limit=_PROXY_MEMORY,
            )
        )
        self.container = container
        if self._settings.cassette != "replay":
            engine.connect(engine.egress_network, container)
        stream = engine.attach(container)
        self._streams.callback(stream.close)
        engine.start(container)
        self.address = self._address(container, "the proxy", ProxyError)
        self.proxy = ProxyClient(stream, describe=lambda: describe_container(engine, container))
        self._streams.callback(self.proxy.close)
        # Start a holder now: that takes as long as importing mitmproxy, which runs in parallel.
        self._idle.append(self._make_holder())
        settings = self._settings
        self.info = self.proxy.configure(
            ca=settings.ca,
            upstream_ca=settings.upstream_ca,
            listen=self.address,
            policy=settings.policy,
            refuse=settings.refuse,
            bodies=settings.bodies,
            cassette=settings.cassette,
            upstream=settings.upstream,
        )

    def _existing_network(self) -> NetworkInfo | None:
        """
        Return the session's network if it still exists.

        An engine keeps networks when it is restarted.
        """
        if self._network is None:
            return None
        mine = self._engine.networks({labels.SESSION: self._identity.id})
        return next((one for one in mine if one.id == self._network.id), None)

    def _new_network(self) -> NetworkInfo:
        engine, identity = self._engine, self._identity

        def create() -> NetworkInfo:
            return engine.create_network(
                identity.name("network"), internal=True, labels=identity.labels("network")
            )

        try:
            return create()
        except EngineError:
            # An engine has addresses for about 30 networks; remove those of killed sessions.
            if not any(line.startswith("network") for line in sweep(engine)):
                raise
        return create()

    def acquire(self) -> Holder:
        """
        Borrow a network namespace for one workspace.

        Raises:
            EngineError: the holder did not start or could not remove its routes.
        """
        with self._lock:
            ready = next((one for one in self._idle if one.done()), None)
            future = ready or (self._idle[0] if self._idle else None)
            if future is not None:
                self._idle.remove(future)
        return (future or self._make_holder()).result()

    def release(self, holder: Holder, container: str, after: Callable[[], None]) -> None:
        """
        Remove a workspace in the background and take its namespace back.

        Args:
            holder: the borrowed namespace, kept for another workspace if it still
                works.
            container: id of the workspace's container; empty if there is none.
            after: called once the container is removed, or could not be removed.

        `wait_for_cleanup` waits until all of this is done.
        """

        def work() -> None:
            try:
                if container:
                    self._engine.remove(container)
                holder.proxy.release(holder.address)
            finally:
                after()
            if self.is_alive(holder):
                done: Future[Holder] = Future()
                done.set_result(holder)
                with self._lock:
                    self._idle.append(done)

        with self._lock:
            self._releases = [one for one in self._releases if not one.done()]
            self._releases.append(self._pool.submit(work))

    def is_alive(self, holder: Holder) -> bool:
        """
        Check whether a namespace still exists and leads to the current proxy.
        """
        info = self._engine.container(holder.container)
        return holder.proxy is self.proxy and info is not None and info.running

    def wait_for_cleanup(self) -> None:
        """
        Wait until every released workspace is removed, or its removal has failed.
        """
        with self._lock:
            waiting, self._releases = self._releases, []
        wait(waiting)

    def close(self) -> None:
        """
        Stop the proxy and the holders.
        """
        self.wait_for_cleanup()
        self._pool.shutdown()
        for one in self._made:
            if one.exception() is None:
                one.result().stream.close()
        self._streams.close()

    def _make_holder(self) -> Future[Holder]:
        future = self._pool.submit(self._new_holder)
        self._made.append(future)
        return future

    def _new_holder(self) -> Holder:
        engine = self._engine
        assert self._network is not None  # noqa: S101 -- made first
        container = engine.create(
            ContainerSpec(
                image=self._image.id,
                command=_HOLDER_COMMAND,
                name=self._identity.name("holder"),
                labels=self._identity.labels("holder"),
                network=self._network.name,
                # The engine's own resolver forwards outside names to this address.
                dns=(self.address,),
                sysctls=_SYSCTLS,
                cap_add=("NET_ADMIN",),
                no_new_privileges=True,
                pids_limit=16,
            )
        )
        stream = engine.attach(container)
        with ExitStack() as undo:
            undo.callback(stream.close)
            engine.start(container)
            stream.send(json.dumps({"proxy": self.address}).encode() + b"\n")
            _await_ready(stream)
            address = self._address(container, "a network holder", EngineError)
            undo.pop_all()
        return Holder(container, address, stream, self.proxy)

    def _address(self, container: str, what: str, error: type[CodexWorkspaceError]) -> str:
        info = self._engine.container(container)
        assert self._network is not None  # noqa: S101 -- made first
        address = info.addresses.get(self._network.name, "") if info else ""
        if not address:
            raise error(
                f"{what} ended at once; remove its image with `codex-workspace clean --images`, "
                "and the next run rebuilds it"
            )
        return address


def _await_ready(stream: Stream) -> None:
    output = {1: b"", 2: b""}
    while b"\n" not in output[1]:
        channel, data = stream.receive()
        if not channel:
            said = output[2].decode("utf-8", "replace").strip()
            raise EngineError(f"a network holder ended before it was ready: {said or 'no output'}")
        output[channel] = (output[channel] + data)[-65536:]
    answer = json.loads(output[1].split(b"\n", 1)[0])
    if not answer.get("ready"):
        raise EngineError(f"a network holder could not remove its routes: {answer.get('error')}")
