"""
The registered workspaces, and what the proxy knows of each open connection.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .limits import MAX_BUFFERED_BYTES, MAX_CONNECTIONS, PROCESS_LOOKUPS_PER_SECOND
from .turns import Turn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from mitmproxy.connection import Client, Connection
    from mitmproxy.http import HTTPFlow

    from pytest_codex_workspace.network.rules.policy import Decision, Policy, RequestFacts

    from .cassette_player import CassettePlayer
    from .routes import ProxyRoute

__all__ = [
    "TOO_LATE",
    "TOO_MANY_CONNECTIONS",
    "UNPARSABLE_HELLO",
    "ActiveStream",
    "ConnectionRegistry",
    "MeasuredLayer",
    "RegisteredWorkspace",
    "WorkspaceConnection",
]

logger = logging.getLogger(__name__)

Target = tuple[str, int]

TOO_MANY_CONNECTIONS = "too many connections"
"""The error of a connection beyond the limit."""

TOO_LATE = "not registered"
"""The error of a connection from an address that has no owner, or whose owner has ended."""

UNPARSABLE_HELLO = "Cannot parse ClientHello: "
"""Start of the error of a connection whose ClientHello cannot be parsed; mitmproxy's words."""


class ActiveStream(Protocol):
    """
    A request that is in progress.
    """

    flow: HTTPFlow


class MeasuredLayer(Protocol):
    """
    A layer of mitmproxy that can say what it keeps in memory.
    """

    def active_streams(self) -> Iterator[ActiveStream]:
        """
        Return the requests that are in progress.
        """

    def is_read_paused(self, connection: Connection) -> bool:
        """
        Check whether nothing more may be read from *connection* for now.
        """

    def buffered_bytes(self) -> tuple[int, int]:
        """
        Return the bytes of requests and of responses in memory.
        """


@dataclass(slots=True, eq=False)
class RegisteredWorkspace:
    """
    One phase of a workspace that has an address: the owner of everything that comes from there
    from its registration to its end.

    The next phase and the next workspace get objects of their own, so nothing that is left of
    an owner can be taken for its successor's.

    Attributes:
        routes: its stubs and faults, the newest first.
        cassette: the cassette that its requests are recorded to or played from.
        player: plays that cassette; `None` while recording or without a cassette.
        open_connections: number of its open connections.
        connection_limit_logged: it reached `MAX_CONNECTIONS`, and the log says so.
        request_bytes: bytes of its requests in memory.
        response_bytes: bytes of its responses in memory.
        memory_limit_logged: its requests exceeded `MAX_BUFFERED_BYTES`, and the log says so.
        turn: how long it has to wait for the time that it has used.
        late_connections: number of connections that came after its end, and were closed.
        names_processes: the host can tell which process has a socket.
        process_lookups: number of its sockets about which the host is being asked.
        held_responses: number of responses to look-ups that wait for the answer.
        process_credit: how many more may be asked about, as of `process_credit_at`.
        trusting: kinds of TLS clients that accepted our certificate, each with where it led.
        distrusting: kinds of TLS clients that refused it.
    """

    address: str
    id: str
    phase: str
    policy: Policy
    routes: list[ProxyRoute] = field(default_factory=list)
    cassette: str | None = None
    player: CassettePlayer | None = None
    open_connections: int = 0
    connection_limit_logged: bool = False
    request_bytes: int = 0
    response_bytes: int = 0
    memory_limit_logged: bool = False
    late_connections: int = 0
    turn: Turn = field(default_factory=Turn)
    names_processes: bool = False
    process_lookups: int = 0
    held_responses: int = 0
    process_credit: float = PROCESS_LOOKUPS_PER_SECOND
    process_credit_at: float = 0.0
    trusting: set[tuple[int, Target | None]] = field(default_factory=set)
    distrusting: set[int] = field(default_factory=set)

    @property
    def is_over_memory_limit(self) -> bool:
        """
        Whether its requests or its responses exceed `MAX_BUFFERED_BYTES`.
        """
        return self.request_bytes > MAX_BUFFERED_BYTES or self.response_bytes > MAX_BUFFERED_BYTES


@dataclass(slots=True)
class WorkspaceConnection:
    """
    One connection from a workspace to the proxy.

    Attributes:
        workspace: the workspace that opened it.
        client: mitmproxy's object for the connection.
        tunnel: host and port of an allowed `CONNECT`.
        request_count: number of requests that were judged.
        outcome_logged: the log has an entry for a tunnel without requests.
        approved: where this connection may lead, with the facts that the judgement
            was based on. Every other target is refused when the proxy connects.
        refused: targets that were refused only when their address was known.
        last_activity: when something last happened before the first request, on the
            monotonic clock.
        http_layers: layers that keep data in memory.
        measure: returns the bytes of requests and of responses that it keeps.
        request_bytes, response_bytes: the last result of `measure`.
        awaited_since: when a barrier began to wait for its first request, on the monotonic
            clock; 0 if none did.
        process: the process that has it, and its ancestors; empty if it is not known.
        was_asked: the host was asked for the process.
        held: ends with the answer; until then nothing more is read. `None` if nothing waits.
        tls_client: the kind of its TLS client, until that has shown whether it trusts us.
    """

    workspace: RegisteredWorkspace
    client: Client
    tunnel: Target | None = None
    request_count: int = 0
    outcome_logged: bool = False
    approved: dict[Target, RequestFacts] = field(default_factory=dict)
    refused: dict[Target, Decision] = field(default_factory=dict)
    last_activity: float = field(default_factory=time.monotonic)
    http_layers: list[MeasuredLayer] = field(default_factory=list)
    measure: Callable[[], tuple[int, int]] | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    awaited_since: float = 0.0
    process: str = ""
    was_asked: bool = False
    held: asyncio.Future[None] | None = None
    tls_client: int | None = None

    def update_usage(self) -> None:
        """
        Measure the connection, and update the sums of its workspace.
        """
        self._set_usage(*(self.measure() if self.measure else (0, 0)))

    def clear_usage(self) -> None:
        """
        Subtract the connection from the sums of its workspace.
        """
        self.measure = None
        self.http_layers.clear()
        self._set_usage(0, 0)

    def _set_usage(self, requests: int, responses: int) -> None:
        workspace = self.workspace
        workspace.request_bytes += requests - self.request_bytes
        workspace.response_bytes += responses - self.response_bytes
        self.request_bytes, self.response_bytes = requests, responses
        if workspace.memory_limit_logged and workspace.request_bytes < MAX_BUFFERED_BYTES // 2:
            workspace.memory_limit_logged = False

    @property
    def encrypted(self) -> bool:
        """
        Whether TLS is established inside a tunnel.
        """
        return self.tunnel is not None and self.client.tls_established

    @property
    def awaits_request(self) -> bool:
        """
        Whether the first request may still come.
        """
        return not self.request_count and not self.outcome_logged

    def note_activity(self) -> None:
        """
        Note that something happened just now.
        """
        self.last_activity = time.monotonic()


class ConnectionRegistry:
    """
    The workspaces and their connections. An addon, the first in the chain.

    Args:
        policy: for workspaces without a policy of their own.

    Attributes:
        accept_any_address: every address is a workspace; for a proxy without a host.
        upstream: address of the upstream proxy, if there is one.
        sentinels: connections that a barrier opens, by their own address; each is
            closed at once, and its function called.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.accept_any_address = False
        self.upstream: Target | None = None
        self.sentinels: dict[Target, Callable[[], None]] = {}
        self._workspaces: dict[str, RegisteredWorkspace] = {}
        self._ended: dict[str, RegisteredWorkspace] = {}
        self._connections: dict[str, WorkspaceConnection] = {}

    def register(
        self, address: str, workspace: str, phase: str, *, names_processes: bool = False
    ) -> None:
        """
        Assign *address* to *workspace*, or begin another phase of that workspace, with the same
        policy, routes and cassette. The connections of the phase before are still its own.

        Args:
            address: a network address.
            workspace: id of the workspace.
            phase: the phase that begins.
            names_processes: whether the host can tell which process has a socket.

        Raises:
            ValueError: the address belongs to another workspace, or a connection of its last
                owner is still open.
        """
        present = self._workspaces.get(address)
        if present is None:
            if left := len(self.connections(address)):
                raise ValueError(f"{left} connections of the last owner of {address} are open")
            owner = RegisteredWorkspace(address, workspace, phase, self.policy)
        elif present.id == workspace:
            owner = RegisteredWorkspace(address, workspace, phase, present.policy)
            owner.routes = present.routes
            owner.cassette, owner.player = present.cassette, present.player
        else:
            raise ValueError(f"{address} still belongs to workspace {present.id}; release it first")
        owner.names_processes = names_processes
        self._ended.pop(address, None)
        self._workspaces[address] = owner

    def owner(self, address: str, workspace: str | None = None) -> RegisteredWorkspace:
        """
        Return who has *address* now.

        Args:
            address: a network address.
            workspace: who must have it; `None` for anybody.

        Raises:
            ValueError: nobody has it, or another workspace.
        """
        found = self._registered(address)
        if workspace is not None and found.id != workspace:
            raise ValueError(f"{address} no longer belongs to workspace {workspace}")
        return found

    def set_policy(self, address: str, policy: Policy) -> None:
        """
        Judge requests of *address* by *policy* until it is released.

        Raises:
            ValueError: the address is not registered.
        """
        self._registered(address).policy = policy

    def set_cassette(
        self, address: str, cassette: str | None, player: CassettePlayer | None
    ) -> None:
        """
        Record requests of *address* to a cassette, or play them from one.

        Raises:
            ValueError: the address is not registered.
        """
        workspace = self._registered(address)
        workspace.cassette, workspace.player = cassette, player

    def add_route(self, address: str, route: ProxyRoute) -> None:
        """
        Add *route* before the other routes of *address*.

        Raises:
            ValueError: the address is not registered.
        """
        self._registered(address).routes.insert(0, route)

    def remove_route(self, address: str, route: int) -> None:
        """
        Remove the route with the id *route*.

        Raises:
            ValueError: the address is not registered.
        """
        workspace = self._registered(address)
        workspace.routes = [one for one in workspace.routes if one.id != route]

    def _registered(self, address: str) -> RegisteredWorkspace:
        if (workspace := self._workspaces.get(address)) is None:
            raise ValueError(f"{address} is not registered")
        return workspace

    def unregister(self, address: str) -> None:
        """
        Refuse *address* until it is registered again.
        """
        if ended := self._workspaces.pop(address, None):
            self._ended[address] = ended

    def last_owner(self, address: str) -> RegisteredWorkspace | None:
        """
        Return whose registration ended last, `None` if the address has an owner or never had one.
        """
        return self._ended.get(address)

    def workspace(self, address: str) -> RegisteredWorkspace | None:
        """
        Return the workspace of *address*, `None` if there is none.
        """
        if self.accept_any_address and address not in self._workspaces:
            self.register(address, address, "test")
        return self._workspaces.get(address)

    def is_registered(self, workspace: RegisteredWorkspace) -> bool:
        """
        Check whether a workspace has not been released.
        """
        return self._workspaces.get(workspace.address) is workspace

    def has_others(self, workspace: RegisteredWorkspace) -> bool:
        """
        Check whether other workspaces have connections.
        """
        return any(
            each.open_connections for each in self._workspaces.values() if each is not workspace
        )

    def connection(self, client: Client) -> WorkspaceConnection | None:
        """
        Return what is known of a connection, `None` if it belongs to no workspace.
        """
        return self._connections.get(client.id)

    def connections(self, address: str) -> list[WorkspaceConnection]:
        """
        Return the open connections of *address*, of whichever owner.
        """
        return [
            connection
            for connection in self._connections.values()
            if connection.workspace.address == address
        ]

    def connections_of(self, workspace: RegisteredWorkspace) -> list[WorkspaceConnection]:
        """
        Return the open connections of one owner.
        """
        return [each for each in self._connections.values() if each.workspace is workspace]

    def accepts_requests(self, workspace: RegisteredWorkspace) -> bool:
        """
        Check whether a workspace has read enough of its responses to send more requests.
        """
        if workspace.response_bytes > MAX_BUFFERED_BYTES:
            # Sockets accept what was queued for them without any event.
            self.update_usage(workspace)
        return workspace.response_bytes <= MAX_BUFFERED_BYTES

    def update_usage(self, workspace: RegisteredWorkspace) -> None:
        """
        Measure all connections of a workspace.
        """
        for connection in self.connections_of(workspace):
            connection.update_usage()

    def idle(self, seconds: float) -> list[WorkspaceConnection]:
        """
        Return the open connections that sent no request and have been idle for *seconds*.
        """
        before = time.monotonic() - seconds
        return [
            connection
            for connection in self._connections.values()
            if connection.awaits_request and connection.last_activity < before
        ]

    def client_connected(self, client: Client) -> None:
        """
        Accept a connection if its address is registered. It belongs to the owner of this moment
        for as long as it is open.
        """
        peer = client.peername[:2]
        if arrived := self.sentinels.pop(peer, None):
            client.error = "a barrier"
            arrived()
        elif workspace := self.workspace(peer[0]):
            if workspace.open_connections >= MAX_CONNECTIONS:
                client.error = TOO_MANY_CONNECTIONS
                return
            workspace.open_connections += 1
            self._connections[client.id] = WorkspaceConnection(workspace, client)
        else:
            client.error = TOO_LATE
            if ended := self._ended.get(peer[0]):
                ended.late_connections += 1
            else:
                logger.warning("refused a connection from %s, which is not registered", peer[0])

    def remove(self, client: Client) -> None:
        """
        Forget a connection that has ended.
        """
        if connection := self._connections.pop(client.id, None):
            connection.clear_usage()
            workspace = connection.workspace
            workspace.open_connections -= 1
            if workspace.open_connections < MAX_CONNECTIONS // 2:
                workspace.connection_limit_logged = False
