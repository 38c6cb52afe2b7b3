"""
mitmproxy with a hand-picked chain of addons, and servers that are up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.master import Master
from mitmproxy.options import Options

from .answer.replay import Replay
from .answer.stubs import Faults
from .judge.addresses import AddressGuard
from .judge.gate import Gate
from .judge.policy_change import reconsider
from .judge.upstream import FarNames, Upstream
from .judge.websocket import SwitchGuard
from .mitm.backpressure import bound_connections
from .mitm.http1 import bound_http1
from .mitm.http2 import bound_http2
from .mitm.next_layer import Tunnel
from .record.cassette_recorder import Recording
from .record.connection_log import Incidents
from .record.events import Journal
from .record.request_log import Recorder
from .state.connections import Registry
from .state.limits import SILENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mitmproxy.connection import Client

    from pytest_codex_workspace.network.policy import Policy
    from pytest_codex_workspace.network.upstream import UpstreamProxy

    from .mitm.http_stream import OnFailure
    from .state.connections import Conversation

__all__ = ["Assembly"]


class Assembly:
    """
    The running parts of one proxy.

    Args:
        directory: mitmproxy's own, with the authority in it.
        bundle: the certificates the proxy trusts.
        policy: for workspaces that have none of their own.
        emit: takes each event.
        host: the address to listen on.
        port: the port to listen on.
        bodies: bytes to keep of each body.
        recording: note exchanges for cassettes.
        upstream: the proxy to go through, if any.
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
        bound_http1()
        bound_http2()
        self.registry = Registry(policy)
        journal = Journal(emit)
        self.recorder = Recorder(self.registry, journal, bodies)
        self.incidents = Incidents(self.registry, journal)
        bound_connections(self.registry, self.incidents.full)
        self.recording = Recording(self.registry, emit, directory)
        self._listen = host, port
        self._started = asyncio.Event()
        self._tls = TlsConfig()
        self._server: Any = Proxyserver()  # type: ignore[no-untyped-call]
        self._master: Any = Master(Options(confdir=str(directory), listen_host=host))
        judges: list[object] = [
            self.registry,
            Gate(self.registry),
            SwitchGuard(self.registry),
            AddressGuard(self.registry),
        ]
        recorders: list[object] = [self.recorder, self.incidents, Replay(self.registry)]
        if recording:
            recorders.append(self.recording)
        on_failure: OnFailure = self.recorder.on_failure
        if upstream is not None:
            way = Upstream(upstream, self.registry)
            judges.append(way)
            recorders.append(FarNames(self.registry))
            on_failure = way.explaining(on_failure)
        # Those that judge come first, mitmproxy's own last.
        self._master.addons.add(  # type: ignore[no-untyped-call]
            *judges,
            *recorders,
            Faults(self.registry, self._reset, self._close),
            Tunnel(self.registry, on_failure, self.incidents.malformed, self.incidents.tunnel),
            self._server,
            self._tls,
            _Moments(self._started.set, self._hang_up),
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
        Let mitmproxy do what *policy* may allow. The gate still judges.
        """
        if policy.websocket == "allow":
            self._master.options.update(websocket=True)

    async def start(self) -> None:
        """
        Start the servers.

        Raises:
            OSError: the port cannot be had.
        """
        self._tasks = [
            asyncio.create_task(self._master.run()),
            asyncio.create_task(self.cut_off_the_silent()),
        ]
        await self._started.wait()
        if not self._server.listen_addrs():
            host, port = self._listen
            raise OSError(f"the proxy cannot listen on {host}:{port}")

    def cut_off(self, address: str) -> None:
        """
        Close every connection of *address*.
        """
        for conversation in self.registry.conversations(address):
            self._cut(conversation)

    def reconsider(self, address: str) -> None:
        """
        Close connections of *address* with something under way that its
        policy refuses by now.
        """
        for conversation in self.registry.conversations(address):
            if reconsider(conversation, self.recorder, self.incidents):
                self._cut(conversation)

    async def cut_off_the_silent(self) -> None:
        """
        For as long as the proxy runs, close connections that send nothing.
        """
        while True:
            await asyncio.sleep(SILENCE_SECONDS / 10)
            for conversation in self.registry.silent(SILENCE_SECONDS):
                self.incidents.silent(conversation)
                self._cut(conversation)

    def _reset(self, conversation: Conversation) -> None:
        """
        End a connection so that its client sees it reset.
        """
        if writer := self._writer(conversation.client):
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def _close(self, conversation: Conversation) -> None:
        """
        End a connection when what has been sent is out.
        """
        if writer := self._writer(conversation.client):
            writer.close()

    def _hang_up(self, client: Client) -> None:
        """
        Close the socket of a connection that has ended: mitmproxy does not if
        it ended it while further bytes were waiting, and the client hangs.
        """
        if writer := self._writer(client):
            writer.close()

    def _writer(self, client: Client) -> Any:
        connection = self._server.connections.get(client.id)
        transport = connection and connection.transports.get(connection.client)
        return transport and transport.writer

    def _cut(self, conversation: Conversation) -> None:
        connection = self._server.connections.get(conversation.client.id)
        transport = connection and connection.transports.get(connection.client)
        if transport and transport.handler:
            transport.handler.cancel("released")


class _Moments:
    """
    Tells when mitmproxy has started, and when a connection has ended. An addon.
    """

    def __init__(self, started: Callable[[], None], ended: Callable[[Client], None]) -> None:
        self._started = started
        self._ended = ended

    def running(self) -> None:
        self._started()

    def client_disconnected(self, client: Client) -> None:
        self._ended(client)
