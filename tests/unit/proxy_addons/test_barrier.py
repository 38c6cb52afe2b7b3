"""Waiting until everything that a workspace has sent is in the log."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from mitmproxy.test import tflow

from proxy_addons.barrier import BarrierResult, LogBarrier
from proxy_addons.dns.resolver import Resolver
from tests.helpers.flows import AddonChain
from tests.helpers.ports import free_port

LOCAL = "127.0.0.1"


class BarrierChain(AddonChain):
    """
    The chain with a barrier, behind a server that accepts connections as mitmproxy does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.resolver = Resolver(self.registry, LOCAL, self.connection_logger.log_lookup)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[LogBarrier]:
        """
        Serve on free ports.
        """
        server = await asyncio.start_server(self._accept, LOCAL, 0)
        port, dns_port = server.sockets[0].getsockname()[1], free_port()
        await self.resolver.listen(LOCAL, dns_port)
        yield LogBarrier(self.registry, self.request_logger, self.resolver, (LOCAL, port), dns_port)
        server.close()
        await server.wait_closed()
        self.resolver._transport.close()
        self.resolver._server.close()
        await self.resolver._server.wait_closed()

    async def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = tflow.tclient_conn()
        client.peername, client.error = writer.get_extra_info("peername"), None
        self.registry.client_connected(client)
        writer.close()

    def wait(self, seconds: float) -> bool:
        """
        Wait for the workspace.
        """

        async def run() -> bool:
            async with self.listening() as barrier:
                return (await barrier.wait(self.owner, seconds)).complete

        return asyncio.run(run())


def test_an_idle_workspace_is_not_waited_for() -> None:
    """
    Every queue has been passed, and no sentinel is left behind.
    """
    chain = BarrierChain()

    assert chain.wait(20)
    assert chain.registry.sentinels == {}
    assert chain.resolver.tcp.sentinels == {}


def test_a_request_without_its_end_is_waited_for() -> None:
    """
    The barrier fails if the request does not end in time.
    """
    chain = BarrierChain()
    flow = chain.flow(chain.connect(("example.org", 443), sni="example.org"))
    chain.request(flow)
    assert not chain.wait(0.2)

    chain.request_logger.error(flow)
    assert chain.wait(20)


def test_the_end_of_a_request_ends_the_wait() -> None:
    """
    The event of the request is in the log by then.
    """
    chain = BarrierChain()
    connection = chain.connect(("example.org", 443), sni="example.org")
    chain.request(chain.flow(connection))

    async def run() -> bool:
        async with chain.listening() as barrier:
            waiting = asyncio.create_task(barrier.wait(chain.owner, 20))
            done, _ = await asyncio.wait([waiting], timeout=0.1)
            assert not done
            chain.disconnect(connection)
            return (await waiting).complete

    assert asyncio.run(run())
    assert len(chain.events) == 1


def test_an_idle_connection_does_not_matter() -> None:
    """
    A connection that has sent nothing for a while may never send a request.
    """
    chain = BarrierChain()
    connection = chain.connect(("example.org", 443))
    connection.last_activity = time.monotonic() + 3600
    assert not chain.wait(0.2)

    connection.last_activity -= 7200
    assert chain.wait(20)


def test_a_proxy_that_does_not_listen_fails_the_barrier() -> None:
    """
    Nothing can be said about the log then.
    """
    chain = BarrierChain()

    async def run() -> BarrierResult:
        async with chain.listening():
            closed = (LOCAL, free_port()), free_port()
            barrier = LogBarrier(chain.registry, chain.request_logger, chain.resolver, *closed)
            return await barrier.wait(chain.owner, 1)

    result = asyncio.run(run())
    assert (result.passed, result.complete) == (False, False)


def test_what_was_waited_for_is_not_waited_for_again() -> None:
    """
    A request that stays open costs the first reader of the log some time, and nobody else any.
    """
    chain = BarrierChain()
    flow = chain.flow(chain.connect(("example.org", 443), sni="example.org"))
    chain.request(flow)
    [entry] = chain.request_logger.open_requests(chain.owner)
    entry.awaited_since = time.monotonic() - 3600

    # The test would take an hour otherwise.
    assert not chain.wait(3600)


def test_what_begins_later_is_not_waited_for() -> None:
    """
    A workspace that makes requests all the time does not keep the log from being read.
    """
    chain = BarrierChain()

    async def run() -> BarrierResult:
        async with chain.listening() as barrier:
            first = chain.flow(chain.connect(("example.org", 443), sni="example.org"))
            chain.request(first)
            [entry] = chain.request_logger.open_requests(chain.owner)
            waiting = asyncio.create_task(barrier.wait(chain.owner, 20))
            while not entry.awaited_since:
                await asyncio.sleep(0.001)
            chain.request(chain.flow(chain.connect(("example.org", 443), sni="example.org")))
            chain.request_logger.error(first)
            return await waiting

    assert asyncio.run(run()).complete


def test_data_that_waits_for_its_turn_is_waited_for() -> None:
    """
    A workspace that has used much of the proxy's time is read later than its data arrives.
    """
    chain = BarrierChain()
    turn = chain.owner.turn
    read: list[str] = []

    async def reader() -> None:
        await turn.wait(lambda: True)
        read.append("data")

    async def run() -> list[str]:
        async with chain.listening() as barrier:
            turn.charge(0.2)
            waiting = asyncio.create_task(reader())
            while not turn.waiting:
                await asyncio.sleep(0)
            assert await barrier.pass_queues(chain.owner)
            found = read.copy()
            await waiting
            return found

    assert asyncio.run(run()) == ["data"]


def test_a_refusal_that_is_held_is_waited_for() -> None:
    """
    It is in the log as soon as its process is known. One that comes later is not waited for.
    """
    chain = BarrierChain()

    async def run() -> BarrierResult:
        async with chain.listening() as barrier:
            chain.owner.process_lookups = 1
            waiting = asyncio.create_task(barrier.wait(chain.owner, 20))
            done, _ = await asyncio.wait([waiting], timeout=0.05)
            assert not done
            # Others are held all the time.
            return await waiting

    assert asyncio.run(run()).complete
