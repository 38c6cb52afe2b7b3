"""
Which workspace an address is, and what is known of each open connection.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .limits import CONNECTIONS, HELD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mitmproxy import connection

    from pytest_codex_workspace.network.policy import Decision, Policy, RequestFacts

    from ..answer.replay import Player
    from ..answer.stubs import Route
    from ..mitm.http_layer import GatedHttpLayer

__all__ = ["CROWDED", "Conversation", "Registry", "Workspace"]

logger = logging.getLogger(__name__)

Target = tuple[str, int]

CROWDED = "too many connections"
"""What mitmproxy is told of a connection that is one too many."""


@dataclass(slots=True)
class Workspace:
    """
    Who has an address at present, and by which policy it is judged.

    Attributes:
        routes: its stubs and faults, the newest first.
        tape: the cassette that it is recorded for, or played from.
        player: plays that cassette; `None` while recording, or without one.
        connections: how many it has open.
        crowded: it has as many as it may, and that has been logged.
        requests_held: bytes of requests that are in memory.
        answers_held: bytes of answers that are.
        overfull: it had more of requests than it may, and that has been logged.
    """

    address: str
    id: str
    phase: str
    policy: Policy
    routes: list[Route] = field(default_factory=list)
    tape: str | None = None
    player: Player | None = None
    connections: int = 0
    crowded: bool = False
    requests_held: int = 0
    answers_held: int = 0
    overfull: bool = False

    @property
    def is_full(self) -> bool:
        """
        Whether it has as much in memory as it may.
        """
        return self.requests_held > HELD_BYTES or self.answers_held > HELD_BYTES


@dataclass(slots=True)
class Conversation:
    """
    One connection from a workspace to the proxy.

    Attributes:
        workspace: who opened it.
        client: mitmproxy's object for it.
        tunnel: what `CONNECT` asked for, once it was allowed.
        requests: how many requests have been judged.
        settled: nothing more is to be said about a tunnel without requests.
        approved: where this connection may lead, with the facts it was
            judged by. Everywhere else is refused when connecting.
        refused: where it was refused only when the address was known.
        moved: when something last happened before the first request, on the
            monotonic clock.
        layers: those that may hold something.
        measure: tells how many bytes of requests and of answers it holds.
        requests_held, answers_held: what it told the last time.
    """

    workspace: Workspace
    client: connection.Client
    tunnel: Target | None = None
    requests: int = 0
    settled: bool = False
    approved: dict[Target, RequestFacts] = field(default_factory=dict)
    refused: dict[Target, Decision] = field(default_factory=dict)
    moved: float = field(default_factory=time.monotonic)
    layers: list[GatedHttpLayer] = field(default_factory=list)
    measure: Callable[[], tuple[int, int]] | None = None
    requests_held: int = 0
    answers_held: int = 0

    def weigh(self) -> None:
        """
        Bring up to date what its workspace holds.
        """
        self._hold(*(self.measure() if self.measure else (0, 0)))

    def release(self) -> None:
        """
        Hold nothing any more.
        """
        self.measure = None
        self.layers.clear()
        self._hold(0, 0)

    def _hold(self, requests: int, answers: int) -> None:
        workspace = self.workspace
        workspace.requests_held += requests - self.requests_held
        workspace.answers_held += answers - self.answers_held
        self.requests_held, self.answers_held = requests, answers
        if workspace.overfull and workspace.requests_held < HELD_BYTES // 2:
            workspace.overfull = False

    @property
    def encrypted(self) -> bool:
        """
        Whether TLS has been established inside a tunnel.
        """
        return self.tunnel is not None and self.client.tls_established

    @property
    def undecided(self) -> bool:
        """
        Whether it is not yet known if a request will come.
        """
        return not self.requests and not self.settled

    def touch(self) -> None:
        """
        Note that something happened.
        """
        self.moved = time.monotonic()


class Registry:
    """
    The workspaces and their connections. An addon, the first in the chain.

    Args:
        policy: for workspaces that have none of their own.

    Attributes:
        anyone: every address is a workspace, where nobody registers any.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.anyone = False
        self.upstream: Target | None = None
        self.expected: dict[Target, Callable[[], None]] = {}
        self._workspaces: dict[str, Workspace] = {}
        self._conversations: dict[str, Conversation] = {}

    def register(self, address: str, workspace: str, phase: str) -> None:
        """
        Let *address* be *workspace* from now on.

        Raises:
            ValueError: it is another one that was not released.
        """
        present = self._workspaces.get(address)
        if present is None:
            self._workspaces[address] = Workspace(address, workspace, phase, self.policy)
        elif present.id == workspace:
            present.phase = phase
        else:
            raise ValueError(f"{address} still belongs to workspace {present.id}; release it first")

    def set_policy(self, address: str, policy: Policy) -> None:
        """
        Judge *address* by *policy* until it is released.

        Raises:
            ValueError: the address is not registered.
        """
        self._registered(address).policy = policy

    def set_tape(self, address: str, tape: str | None, player: Player | None) -> None:
        """
        Record *address* for a cassette, or play it from one.
        """
        workspace = self._registered(address)
        workspace.tape, workspace.player = tape, player

    def add_route(self, address: str, route: Route) -> None:
        """
        Let *route* be the first that is asked about requests of *address*.

        Raises:
            ValueError: the address is not registered.
        """
        self._registered(address).routes.insert(0, route)

    def remove_route(self, address: str, route: int) -> None:
        """
        Ask the route with that id no longer.
        """
        workspace = self._registered(address)
        workspace.routes = [one for one in workspace.routes if one.id != route]

    def _registered(self, address: str) -> Workspace:
        if (workspace := self._workspaces.get(address)) is None:
            raise ValueError(f"{address} is not registered")
        return workspace

    def forget(self, address: str) -> None:
        """
        Refuse *address* until it is registered again.
        """
        self._workspaces.pop(address, None)

    def workspace(self, address: str) -> Workspace | None:
        """
        Who has *address*, `None` if nobody.
        """
        if self.anyone and address not in self._workspaces:
            self.register(address, address, "test")
        return self._workspaces.get(address)

    def knows(self, workspace: Workspace) -> bool:
        """
        Whether a workspace has not been released.
        """
        return self._workspaces.get(workspace.address) is workspace

    def conversation(self, client: connection.Client) -> Conversation | None:
        """
        What is known of a connection, `None` if it is not a workspace's.
        """
        return self._conversations.get(client.id)

    def conversations(self, address: str) -> list[Conversation]:
        """
        The open connections of *address*.
        """
        return [
            conversation
            for conversation in self._conversations.values()
            if conversation.workspace.address == address
        ]

    def has_room(self, workspace: Workspace) -> bool:
        """
        Whether a workspace has taken enough of its answers to ask for more.
        """
        if workspace.answers_held > HELD_BYTES:
            # Sockets take what they are given without a word.
            self.weigh(workspace)
        return workspace.answers_held <= HELD_BYTES

    def weigh(self, workspace: Workspace) -> None:
        """
        Bring up to date what all connections of a workspace hold.
        """
        for conversation in self.conversations(workspace.address):
            conversation.weigh()

    def silent(self, seconds: float) -> list[Conversation]:
        """
        The open connections without a request that have stood still for so long.
        """
        before = time.monotonic() - seconds
        return [
            conversation
            for conversation in self._conversations.values()
            if conversation.undecided and conversation.moved < before
        ]

    def client_connected(self, client: connection.Client) -> None:
        """
        Admit a connection if its address is registered.
        """
        peer = client.peername[:2]
        if arrived := self.expected.pop(peer, None):
            client.error = "a barrier"
            arrived()
        elif workspace := self.workspace(peer[0]):
            if workspace.connections >= CONNECTIONS:
                client.error = CROWDED
                return
            workspace.connections += 1
            self._conversations[client.id] = Conversation(workspace, client)
        else:
            client.error = "not registered"
            logger.warning("refused a connection from %s, which is not registered", peer[0])

    def drop(self, client: connection.Client) -> None:
        """
        Forget a connection that has ended.
        """
        if conversation := self._conversations.pop(client.id, None):
            conversation.release()
            workspace = conversation.workspace
            workspace.connections -= 1
            if workspace.connections < CONNECTIONS // 2:
                workspace.crowded = False
