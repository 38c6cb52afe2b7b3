"""
mitmproxy with our own chain of addons, and its servers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.master import Master
from mitmproxy.options import Options

from .answer.faults import FaultInjector
from .answer.replay import CassetteReplay
from .answer.stub_functions import StubFunctions
from .judge.addresses import AddressGuard
from .judge.gate import Gate
from .judge.policy_change import recheck_connection
from .judge.upstream import UpstreamNameGuard, UpstreamRouter
from .judge.websocket import UpgradeGuard
from .mitm.client_sockets import ClientSockets
from .mitm.next_layer import LayerSelector
from .mitm.patches import patch_connections, patch_http1, patch_http2
from .record.cassette_recorder import CassetteRecorder
from .record.connection_log import ConnectionLogger
from .record.events import EventWriter
from .record.process_names import ProcessNames
from .record.request_log import RequestLogger
from .state.connections import ConnectionRegistry
from .state.limits import IDLE_SECONDS
from .state.memory import return_free_memory
from .state.process_lookup import ProcessLookup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mitmproxy.connection import Client

    from pytest_codex_workspace.network.rules.policy import Policy
    from pytest_codex_workspace.network.rules.upstream import UpstreamProxy

    from .state.responses import OnFailure

__all__ = ["Assembly"]


class Assembly:
    """
    The running parts of one proxy.

    Args:
        directory: mitmproxy's directory, with the authority in it.
        bundle: the certificates that the proxy trusts.
        policy: for workspaces without a policy of their own.
        emit: sends one event.
        host: the address to listen on.
        port: the port to listen on.
        bodies: bytes to keep of each body.
        recording: whether to record exchanges for cassettes.
        upstream: the upstream proxy, if there is one.
    """

    def __init__(
        self,
        directory: Path,
        bundle: Path,
        policy: Policy,
        emit: Callable[[dict[str, Any]], None],
        host: str,
        port: int,
        bodies: int = 0,
        recording: bool = False,
        upstream: UpstreamProxy | None = None,
    ) -> None:
        self.registry = ConnectionRegistry(policy)
        events = EventWriter(emit)
        self.request_logger = RequestLogger(self.registry, events, bodies)
        self.connection_logger = ConnectionLogger(self.registry, events)
        patch_http1()
        patch_http2()
        patch_connections(self.registry, self.connection_logger.log_memory_limit)
        self.cassette_recorder = CassetteRecorder(self.registry, emit, directory)
        self._listen = host, port
        self._started = asyncio.Event()
        self._tls = _Certificates()
        self._server: Any = Proxyserver()  # type: ignore[no-untyped-call]
        self._sockets = ClientSockets(self._server)
        self.process_lookup = ProcessLookup(emit)
        self.stub_functions = StubFunctions(emit)
        names = ProcessNames(self.registry, self.process_lookup, self._sockets.is_open)
        self._master: Any = Master(Options(confdir=str(directory), listen_host=host))
        judges: list[object] = [
            self.registry,
            Gate(self.registry, self.stub_functions),
            UpgradeGuard(self.registry),
            AddressGuard(self.registry),
        ]
        recorders: list[object] = [
            names,
            self.request_logger,
            self.connection_logger,
            CassetteReplay(self.registry),
        ]
        if recording:
            recorders.append(self.cassette_recorder)
        on_failure: OnFailure = self.request_logger.respond_to_failure
        if upstream is not None:
            router = UpstreamRouter(upstream, self.registry)
            judges.append(router)
            recorders.append(UpstreamNameGuard(self.registry))
            on_failure = router.explaining(on_failure)
        # The addons that judge run first, mitmproxy's own last.
        self._master.addons.add(  # type: ignore[no-untyped-call]
            *judges,
            *recorders,
            FaultInjector(self.registry, self._sockets.reset, self._sockets.close),
            LayerSelector(
                self.registry,
                on_failure,
                self.connection_logger.log_malformed,
                self.connection_logger.log_tunnel,
                names.name,
            ),
            self._server,
            self._tls,
            # mitmproxy leaves the socket open if it ends a connection while bytes are waiting,
            # and the client hangs.
            _LifecycleHooks(self._started.set, self._sockets.close),
        )
        self._master.options.update(  # type: ignore[no-untyped-call]
            listen_port=port,
            connection_strategy="lazy",
            rawtcp=False,
            websocket=False,
            ssl_verify_upstream_trusted_ca=str(bundle),
        )
        self.allow(policy)

    @property
    def certificate(self) -> str:
        """
        The authority's certificate as PEM.
        """
        return self._tls.certstore.default_ca.to_pem().decode("ascii")

    def allow(self, policy: Policy) -> None:
        """
        Enable what *policy* may allow. The gate still judges each request.
        """
        if policy.websocket == "allow":
            self._master.options.update(websocket=True)

    async def start(self) -> None:
        """
        Start the servers.

        Raises:
            OSError: the port is not available.
        """
        self._tasks = [
            asyncio.create_task(self._master.run()),
            asyncio.create_task(self.disconnect_idle()),
        ]
        await self._started.wait()
        if not self._server.listen_addrs():
            host, port = self._listen
            raise OSError(f"the proxy cannot listen on {host}:{port}")

    def disconnect(self, address: str) -> None:
        """
        Close every connection of *address*.
        """
        for connection in self.registry.connections(address):
            self._sockets.cancel(connection.client)

    def apply_policy_change(self, address: str) -> None:
        """
        Close the connections of *address* with a request that its policy now refuses.
        """
        for connection in self.registry.connections(address):
            if recheck_connection(connection, self.request_logger, self.connection_logger):
                self._sockets.cancel(connection.client)

    async def disconnect_idle(self) -> None:
        """
        Close connections without a request that are idle, and give back free memory, for as
        long as the proxy runs.
        """
        while True:
            await asyncio.sleep(IDLE_SECONDS / 10)
            for connection in self.registry.idle(IDLE_SECONDS):
                self.connection_logger.log_idle(connection)
                self._sockets.cancel(connection.client)
            return_free_memory()


class _Certificates(TlsConfig):
    """
    Mitmproxy's addon that issues certificates, and responds to nothing.

    Mitmproxy 12 serves a revocation list of its own under every host. Our certificates name no
    such list, and what the log calls allowed has left.
    """

    request = None


class _LifecycleHooks:
    """
    Report that mitmproxy has started, and that a connection has ended. An addon.
    """

    def __init__(self, started: Callable[[], None], ended: Callable[[Client], None]) -> None:
        self._started = started
        self._ended = ended

    def running(self) -> None:
        self._started()

    def client_disconnected(self, client: Client) -> None:
        self._ended(client)
