"""
Ask the host which process of a workspace a socket belongs to.

Only the workspace itself can see that, so the answer is the word of a workspace about itself. It
may be late, wrong or missing, and is never waited for longer than a moment.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.rules.text import plain

from .limits import (
    LONGEST_PROCESS,
    MAX_PROCESS_LOOKUPS,
    PROCESS_LOOKUP_SECONDS,
    PROCESS_LOOKUPS_PER_SECOND,
)

if TYPE_CHECKING:
    from .connections import RegisteredWorkspace

__all__ = ["ProcessLookup", "is_connected"]

Address = tuple[str, int]

_ESTABLISHED, _CLOSE_WAIT = 1, 8
"""The states of TCP in which a peer can still receive; Linux's numbers."""


class ProcessLookup:
    """
    Questions to the host, and their answers.

    Args:
        emit: sends one event to the host.
        seconds: how long an answer is waited for.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        emit: Callable[[dict[str, Any]], None],
        seconds: float = PROCESS_LOOKUP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._seconds = seconds
        self._clock = clock
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[str]] = {}

    def ask(
        self, workspace: RegisteredWorkspace, protocol: str, client: Address, server: Address
    ) -> Coroutine[Any, Any, str] | None:
        """
        Ask for the process of *workspace* that has the socket from *client* to *server*.

        What the answer is for must still be there when it comes: only then has nobody else got
        the address and the port meanwhile.

        Args:
            workspace: who has the address.
            protocol: `tcp` or `udp`.
            client: address and port of the workspace.
            server: our own.

        Returns:
            What waits for the answer, and must be awaited: the process with its ancestors, empty if
            it is not known. `None` if the host is not asked, because it cannot tell or because the
            workspace has asked for too much.
        """
        if not workspace.names_processes or not self._admit(workspace):
            return None
        workspace.process_lookups += 1
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._emit(
            {
                "event": "process",
                "workspace": workspace.id,
                "lookup": number,
                "protocol": protocol,
                "client": list(client[:2]),
                "server": list(server[:2]),
            }
        )
        return self._wait(workspace, number)

    def take(self, message: dict[str, Any]) -> dict[str, Any]:
        """
        Take an answer of the host. One that nobody waits for any more is dropped.
        """
        waiting = self._waiting.get(message["lookup"])
        if waiting is not None and not waiting.done():
            waiting.set_result(plain(str(message["process"]))[:LONGEST_PROCESS])
        return {"ok": True}

    async def _wait(self, workspace: RegisteredWorkspace, number: int) -> str:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._waiting[number]
        except TimeoutError:
            return ""
        finally:
            del self._waiting[number]
            # Whoever awaits this goes on at once, so that a barrier finds what it logs.
            workspace.process_lookups -= 1

    def _admit(self, workspace: RegisteredWorkspace) -> bool:
        """
        Check that *workspace* has asked for little, and note that it asks.
        """
        now = self._clock()
        gained = (now - workspace.process_credit_at) * PROCESS_LOOKUPS_PER_SECOND
        credit = min(PROCESS_LOOKUPS_PER_SECOND, workspace.process_credit + gained)
        workspace.process_credit, workspace.process_credit_at = credit, now
        if credit < 1 or workspace.process_lookups >= MAX_PROCESS_LOOKUPS:
            return False
        workspace.process_credit -= 1
        return True


def is_connected(transport: asyncio.WriteTransport) -> bool:
    """
    Check that a connection has not been reset or lost: then nobody else can have got the client's
    port. The kernel knows of a reset before it knows of a new connection from the same port.
    """
    connection = transport.get_extra_info("socket")
    if transport.is_closing() or connection is None:
        return False
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in (_ESTABLISHED, _CLOSE_WAIT)
