"""Isolate workspaces: an internal network, the proxy, and holders of network namespaces.

A holder is a tiny container that owns a network namespace. It removes every
route except the one to the proxy, drops the capability to change routes, and
lends its namespace to one workspace after another.

An address has one owner at a time. Between two owners it belongs to nobody, until
nothing that the first has sent is on its way any more: its container is gone, the
proxy has closed its connections and refuses others, no socket of the namespace can
send, and the proxy has seen the end of its queues.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from ..codex import NETWORK_HOLDER, PROXY_PROGRAM
from ..engine import labels
from ..engine.diagnose import describe_container
from ..engine.protocol import ContainerSpec, Engine, ImageInfo, NetworkInfo
from ..engine.session_id import Identity
from ..engine.sweep import sweep
from ..errors import CodexWorkspaceError, EngineError, EngineUnavailable, ProxyError
from ..text.phrases import counted
from .holder import HolderProgram
from .proxy_client import ProxyClient
from .rules.policy import Policy
from .rules.upstream import UpstreamProxy

__all__ = ["Holder", "Isolation", "ProxySettings"]

_PROXY_COMMAND = ("python3", "-I", "-u", PROXY_PROGRAM)
_HOLDER_COMMAND = ("python3", "-I", "-S", "-u", NETWORK_HOLDER)
_PROXY_MEMORY = 1 << 30
_HOLDER_MEMORY = 128 << 20
"""A last resort, in bytes: several workspaces together stay far below this limit."""
_RESOLVER = {
    # Behind an engine's address translation, two simultaneous queries from one port are often
    # dropped (a race in the kernel's connection tracking), and the look-up stalls.
    "RES_OPTIONS": "single-request-reopen timeout:2 attempts:3",
}
_SYSCTLS = {
    # Drop packets from everyone but the proxy, including broadcasts of neighbours.
    "net.ipv4.conf.all.rp_filter": "1",
}
# Engines apply settings in any order, and that of all interfaces includes lo. So `::1` is left to
# the workspace's own container, which starts later.
_NO_IPV6 = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}
_LOOPBACK_IPV6 = {"net.ipv6.conf.lo.disable_ipv6": "0"}

_HOLDER_SECONDS = 120.0
"""Seconds to wait for a new holder."""

_CLEANUP_SECONDS = 300.0
"""Seconds to wait for the removal of workspaces."""

_DRAIN_SECONDS = 2.0
_LONG_DRAIN_SECONDS = 60.0
"""Seconds to wait until a namespace is empty: before the next start, and in the background."""

_NEW_DRAIN_SECONDS = 30.0
"""Seconds to wait until the proxy, which may be busy, has passed its queue for a new holder."""

_ATTEMPTS = 4
"""New holders that are tried; an engine may give one an address that is not free yet."""

_MAX_PARKED = 8
"""Holders that wait in the background until their namespace is empty. Further ones are ended."""


@dataclass(frozen=True, slots=True)
class Holder:
    """
    A network namespace that workspaces borrow.

    Attributes:
        container: id of the container that owns the namespace.
        address: address of the namespace, by which `proxy` identifies a workspace.
        program: what runs in the container.
        proxy: the proxy that the namespace leads to.
    """

    container: str
    address: str
    program: HolderProgram
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
        refusal: body of the response to a request to a refused host; empty for our explanation.
        secrets: placeholders that the proxy replaces, as `ProxyClient.configure` takes them.
    """

    ca: bytes | None
    upstream_ca: bytes
    policy: Policy
    refuse: Sequence[str] = ()
    bodies: int = 0
    cassette: str = "off"
    upstream: UpstreamProxy | None = None
    refusal: str = ""
    secrets: Sequence[Mapping[str, Any]] = field(default=(), repr=False)


class Isolation:
    """
    The network of one session.

    `close` stops the containers. Clean-up by the session's label removes them and
    the network.

    Args:
        engine: the container engine.
        identity: the session that owns the network.
        image: the proxy image.
        tell: is told of what fails in the background, in one line.
    """

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        image: ImageInfo,
        tell: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._image = image
        self._tell = tell
        self._lock = threading.Lock()
        # One pool for each purpose: removals that are stuck do not stop new workspaces.
        self._starting = ThreadPoolExecutor(4, thread_name_prefix="codex-holder")
        self._removing = ThreadPoolExecutor(4, thread_name_prefix="codex-removal")
        self._draining = ThreadPoolExecutor(2, thread_name_prefix="codex-drain")
        self._made: list[Future[Holder]] = []
        self._idle: list[Future[Holder]] = []
        self._parked: list[Holder] = []
        self._releases: list[Future[None]] = []
        self._streams = ExitStack()
        self._network: NetworkInfo | None = None
        self._ipv6 = True

    @property
    def ca_certificate(self) -> bytes:
        """
        The certificate that workspaces trust, as PEM.
        """
        return self.info.ca_certificate

    @property
    def loopback(self) -> Mapping[str, str]:
        """
        The settings with which a workspace has IPv6 on its loopback interface, and on no
        other; empty if the engine's kernel has no IPv6.
        """
        return _LOOPBACK_IPV6 if self._ipv6 else {}

    def lacks_ipv6(self, error: EngineError) -> bool:
        """
        Return whether a container did not start because there is no IPv6, which from now on
        is taken into account.
        """
        found = self._ipv6 and "disable_ipv6" in str(error)
        if found:
            self._ipv6 = False
        return found

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
        self._start()

    def _forget(self) -> None:
        for one in self._made:
            if one.done() and one.exception() is None:
                one.result().program.close()
        self._made, self._idle, self._parked = [], [], []
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
        # Its address had no owner at this proxy.
        self._idle.append(self._make_holder(first=True))
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
            refusal=settings.refusal,
            secrets=settings.secrets,
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
            EngineError: the holder did not start in time, or could not remove its routes.
        """
        with self._lock:
            ready = next((one for one in self._idle if one.done()), None)
            future = ready or (self._idle[0] if self._idle else None)
            if future is not None:
                self._idle.remove(future)
        try:
            return (future or self._make_holder()).result(_HOLDER_SECONDS)
        except FutureTimeout:
            raise EngineError(
                f"a network holder did not start within {_HOLDER_SECONDS:g} s",
                remedy="See whether the engine is overloaded: `docker ps` should answer at once.",
            ) from None

    def release(
        self, holder: Holder, container: str, after: Callable[[], None], name: str = ""
    ) -> None:
        """
        Remove a workspace in the background and take its namespace back.

        Args:
            holder: the borrowed namespace, kept for another workspace once nothing of this
                one is left in it.
            container: id of the workspace's container; empty if there is none.
            after: called once the container is removed, or could not be removed.
            name: what the proxy calls the workspace, if that is not its container.

        `wait_for_cleanup` waits until all of this is done. Failures are told.
        """

        def work() -> None:
            removed = self._attempt(
                f"the workspace {container[:12]} could not be removed",
                lambda: self._engine.remove(container) if container else None,
            )
            self._attempt(f"what {container[:12]} was started from could not be removed", after)
            self._take_back(holder, name or container, removed)

        with self._lock:
            self._releases = [one for one in self._releases if not one.done()]
            self._releases.append(self._removing.submit(work))

    def _attempt(self, failure: str, work: Callable[[], object]) -> bool:
        try:
            work()
        except Exception as error:
            self._tell(f"{failure}: {error}")
            return False
        return True

    def _take_back(self, holder: Holder, workspace: str, removed: bool) -> None:
        """
        Lend a holder again once nothing of its workspace is left, otherwise end it.
        """
        try:
            # Even if the workspace may still run: it is cut off.
            holder.proxy.release(holder.address, workspace=workspace or None)
            if removed and self._is_clean(holder, _DRAIN_SECONDS):
                self._lend(holder)
            elif removed:
                self._park(holder)
            else:
                holder.program.close()
        except (EngineError, EngineUnavailable, ProxyError):
            # The holder, the proxy or the engine has ended; whoever starts next says so.
            holder.program.close()

    def vacate(self, holder: Holder, workspace: str) -> None:
        """
        End everything that a workspace, none of whose processes runs, has on its way, so that
        the address can begin another phase. Until then it belongs to nobody.

        Raises:
            ProxyError: the proxy has ended, or something is left.
            EngineError: the holder has ended.
        """
        holder.proxy.release(holder.address, 5.0, workspace, queue=60.0)
        if not self._is_clean(holder, _LONG_DRAIN_SECONDS):
            raise ProxyError(
                f"connections that {workspace[:12]} has made are still on their way to the proxy "
                f"after {_LONG_DRAIN_SECONDS:g} s, so no other phase can begin",
                remedy="See what the scripts request, and how often.",
            )

    def _is_clean(self, holder: Holder, seconds: float) -> bool:
        """
        Check that nothing of an earlier owner of the address is on its way to the proxy.
        """
        drain = holder.program.drain(seconds)
        return (
            drain.done
            and holder.proxy.is_free(holder.address, drain.sentinels)
            and self.is_alive(holder)
        )

    def _lend(self, holder: Holder) -> None:
        done: Future[Holder] = Future()
        done.set_result(holder)
        with self._lock:
            self._idle.append(done)

    def _park(self, holder: Holder) -> None:
        """
        Keep a holder, and so its address, until its namespace is empty.
        """
        with self._lock:
            self._parked.append(holder)
            surplus = self._parked.pop(0) if len(self._parked) > _MAX_PARKED else None
        if surplus is not None:
            surplus.program.close()

        def work() -> None:
            try:
                clean = self._is_clean(holder, _LONG_DRAIN_SECONDS)
            except (EngineError, EngineUnavailable, ProxyError):
                clean = False
            with self._lock:
                if holder not in self._parked:
                    return
                self._parked.remove(holder)
            if clean:
                self._lend(holder)
            else:
                holder.program.close()

        self._draining.submit(work)

    def is_alive(self, holder: Holder) -> bool:
        """
        Check whether a namespace still exists and leads to the current proxy.
        """
        info = self._engine.container(holder.container)
        return holder.proxy is self.proxy and info is not None and info.running

    def wait_for_cleanup(self) -> None:
        """
        Wait until every released workspace is removed, or its removal has failed; at most
        five minutes.
        """
        with self._lock:
            waiting, self._releases = self._releases, []
        if left := wait(waiting, _CLEANUP_SECONDS).not_done:
            self._tell(
                f"{counted(len(left), 'workspace')} could not be removed within "
                f"{_CLEANUP_SECONDS:g} s; a later run removes what is left"
            )

    def close(self) -> None:
        """
        Stop the proxy and the holders.
        """
        self.wait_for_cleanup()
        wait(self._made, _HOLDER_SECONDS)
        for one in self._made:
            if one.done() and one.exception() is None:
                one.result().program.close()
        with self._lock:
            parked, self._parked = self._parked, []
        for holder in parked:
            holder.program.close()
        for pool in (self._starting, self._removing, self._draining):
            pool.shutdown(wait=False, cancel_futures=True)
        self._streams.close()

    def _make_holder(self, *, first: bool = False) -> Future[Holder]:
        future = self._starting.submit(self._start_holder if first else self._new_holder)
        with self._lock:
            self._made.append(future)
        return future

    def _new_holder(self) -> Holder:
        """
        Start a holder whose address has no owner, and nothing on its way of an earlier one.
        """
        for _ in range(_ATTEMPTS):
            holder = self._start_holder()
            if holder.proxy.is_free(holder.address) and self._is_clean(holder, _NEW_DRAIN_SECONDS):
                return holder
            # While it is parked, the engine gives the next one another address.
            self._park(holder)
        raise EngineError(
            f"{_ATTEMPTS} new network holders got no address that is free, or the proxy is too "
            "busy to say so",
            remedy="Wait a minute, or run fewer workspaces that make many connections.",
        )

    def _start_holder(self) -> Holder:
        while True:
            try:
                return self._try_holder({**_SYSCTLS, **(_NO_IPV6 if self._ipv6 else {})})
            except EngineError as error:
                # Without the settings, the holder itself makes sure that no interface has IPv6.
                if not self.lacks_ipv6(error):
                    raise

    def _try_holder(self, sysctls: Mapping[str, str]) -> Holder:
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
                sysctls=sysctls,
                cap_add=("NET_ADMIN",),
                no_new_privileges=True,
                pids_limit=16,
                memory_limit=_HOLDER_MEMORY,
            )
        )
        program = HolderProgram(engine.attach(container))
        with ExitStack() as undo:
            undo.callback(program.close)
            engine.start(container)
            program.isolate(self.address)
            address = self._address(container, "a network holder", EngineError)
            undo.pop_all()
        return Holder(container, address, program, self.proxy)

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
