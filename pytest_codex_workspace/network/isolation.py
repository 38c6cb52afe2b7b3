"""The only way out: an internal network, the proxy, and the holders of network namespaces.

A holder is a tiny container that owns a network namespace. It cuts every
route but the one to the proxy, drops the capability to change that, and lends
its namespace to one workspace after another.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from ..engine.protocol import ContainerSpec, Engine, ImageInfo, Stream
from ..errors import CodexWorkspaceError, EngineError, ProxyError
from ..identity import Identity
from .policy import Policy
from .proxy import ProxyClient

__all__ = ["Holder", "Isolation"]

_PROXY_COMMAND = ("python3", "-I", "-u", "/opt/codex-proxy/proxy_addons/main.py")
_HOLDER_COMMAND = ("python3", "-I", "-S", "-u", "/opt/codex-proxy/holder.py")
_NO_IPV6 = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """
    A network namespace to lend. `address` identifies its user to the proxy.
    """

    container: str
    address: str
    stream: Stream


class Isolation:
    """
    The network of one session. `close` removes all of it.

    Args:
        engine: where to make it.
        identity: the session that owns it.
        image: the proxy image.
        ca: the machine's certificate authority, key and certificate as PEM;
            `None` lets the proxy make one.
        upstream_ca: PEM certificates that the proxy trusts besides certifi's.
        policy: what may leave.

    Raises:
        ProxyError: the proxy did not start.
        EngineError: the engine has no network or container left to give.
    """

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        image: ImageInfo,
        *,
        ca: bytes | None,
        upstream_ca: bytes,
        policy: Policy,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._image = image
        self._lock = threading.Lock()
        self._idle: list[Future[Holder]] = []
        self._holders: list[Holder] = []
        self._releases: list[Future[None]] = []
        with ExitStack() as undo:
            network = engine.create_network(
                identity.name("network"), internal=True, labels=identity.labels("network")
            )
            undo.callback(engine.remove_network, network.id)
            self._network = network
            container = engine.create(
                ContainerSpec(
                    image=image.id,
                    command=_PROXY_COMMAND,
                    name=identity.name("proxy"),
                    labels=identity.labels("proxy"),
                    network=network.name,
                    aliases=("proxy",),
                    cap_drop=("NET_RAW",),
                    pids_limit=256,
                )
            )
            undo.callback(engine.remove, container)
            self.container = container
            engine.connect(engine.egress_network, container)
            stream = engine.attach(container)
            undo.callback(stream.close)
            engine.start(container)
            self.address = self._address(container, "the proxy", ProxyError)
            self._pool = ThreadPoolExecutor(4, thread_name_prefix="codex-isolation")
            undo.callback(self._pool.shutdown)
            # A holder takes as long to start as mitmproxy takes to import.
            self._idle.append(self._pool.submit(self._new_holder))
            undo.callback(self._close_holders)
            self.proxy = ProxyClient(stream, describe=self._describe_proxy)
            self.info = self.proxy.configure(
                ca=ca, upstream_ca=upstream_ca, listen=self.address, policy=policy
            )
            undo.pop_all()

    def acquire(self) -> Holder:
        """
        A network namespace for one workspace.

        Raises:
            EngineError: the holder did not start or could not cut its routes.
        """
        with self._lock:
            ready = next((one for one in self._idle if one.done()), None)
            future = ready or (self._idle[0] if self._idle else None)
            if future is not None:
                self._idle.remove(future)
        return future.result() if future is not None else self._new_holder()

    def release(self, holder: Holder, container: str, after: Callable[[], None]) -> None:
        """
        Remove the workspace *container* in the background, then call *after*
        and take its namespace back. `settle` waits for it.
        """

        def work() -> None:
            try:
                self._engine.remove(container)
                self.proxy.release(holder.address)
            finally:
                after()
            done: Future[Holder] = Future()
            done.set_result(holder)
            with self._lock:
                self._idle.append(done)

        with self._lock:
            self._releases = [one for one in self._releases if not one.done()]
            self._releases.append(self._pool.submit(work))

    def settle(self) -> None:
        """
        Wait until every released workspace is gone.
        """
        with self._lock:
            waiting, self._releases = self._releases, []
        for one in waiting:
            # What failed to be removed fails again, louder, when the network goes.
            one.exception()

    def close(self) -> None:
        """
        Remove holders, proxy and network.
        """
        self.settle()
        with ExitStack() as undo:
            undo.callback(self._engine.remove_network, self._network.id)
            undo.callback(self._engine.remove, self.container)
            undo.callback(self._pool.shutdown)
            undo.callback(self.proxy.close)
            undo.callback(self._close_holders)

    def _close_holders(self) -> None:
        for one in self._idle:
            one.exception()
        removals = []
        for holder in self._holders:
            holder.stream.close()
            removals.append(self._pool.submit(self._engine.remove, holder.container))
        for removal in removals:
            removal.result()

    def _new_holder(self) -> Holder:
        engine = self._engine
        with ExitStack() as undo:
            container = engine.create(
                ContainerSpec(
                    image=self._image.id,
                    command=_HOLDER_COMMAND,
                    name=self._identity.name("holder"),
                    labels=self._identity.labels("holder"),
                    network=self._network.name,
                    # An engine's own resolver forwards outside names to this one.
                    dns=(self.address,),
                    sysctls=_NO_IPV6,
                    cap_add=("NET_ADMIN",),
                    pids_limit=16,
                )
            )
            undo.callback(engine.remove, container)
            stream = engine.attach(container)
            undo.callback(stream.close)
            engine.start(container)
            stream.send(json.dumps({"proxy": self.address}).encode() + b"\n")
            _await_ready(stream)
            holder = Holder(
                container, self._address(container, "a network holder", EngineError), stream
            )
            undo.pop_all()
        with self._lock:
            self._holders.append(holder)
        return holder

    def _address(self, container: str, what: str, error: type[CodexWorkspaceError]) -> str:
        info = self._engine.container(container)
        address = info.addresses.get(self._network.name, "") if info else ""
        if not address:
            raise error(
                f"{what} ended at once; `codex-workspace clean --images` removes its image, and "
                "the next run makes it anew"
            )
        return address

    def _describe_proxy(self) -> str:
        info = self._engine.container(self.container)
        if info is None:
            return "its container is gone"
        if info.running:
            return "its container still runs"
        reason = " (out of memory)" if info.oom_killed else ""
        return f"its container ended with exit code {info.exit_code}{reason}"


def _await_ready(stream: Stream) -> None:
    output = {1: b"", 2: b""}
    while b"\n" not in output[1]:
        channel, data = stream.receive()
        if not channel:
            words = output[2].decode("utf-8", "replace").strip()
            raise EngineError(f"a network holder ended before it was ready: {words or 'no words'}")
        output[channel] = (output[channel] + data)[-65536:]
    answer = json.loads(output[1].split(b"\n", 1)[0])
    if not answer.get("ready"):
        raise EngineError(f"a network holder could not cut its routes: {answer.get('error')}")
