"""Look-ups over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from proxy_addons.dns.query_source import QuerySource
from proxy_addons.dns.tcp import TcpLookups
from proxy_addons.state.connections import ConnectionRegistry, RegisteredWorkspace
from proxy_addons.state.limits import MAX_DNS_CONNECTIONS
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY

LOCAL = "127.0.0.1"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """
    The connections of one workspace, on loopback.
    """

    def __init__(self, *, registered: bool = True) -> None:
        registry = ConnectionRegistry(HTTPS_ONLY)
        if registered:
            registry.register(LOCAL, "w1", "test")
        self.logged: list[RegisteredWorkspace] = []
        self.owner = registry.owner(LOCAL) if registered else None
        self.lookups = TcpLookups(registry, self.reply, self.logged.append)

    def reply(self, message: bytes, address: str, source: QuerySource) -> bytes | None:
        """
        Return the message backwards; no response to an empty one.
        """
        assert address == LOCAL
        assert (source.protocol, source.client[0], source.server[0]) == ("tcp", LOCAL, LOCAL)
        assert source.is_open()
        return message[::-1] or None

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[str, int]]:
        """
        Serve on a free port.
        """
        server = await asyncio.start_server(self.lookups.serve, LOCAL, 0)
        try:
            async with asyncio.timeout(20):
                yield server.sockets[0].getsockname()
        finally:
            self.lookups.disconnect(LOCAL)
            server.close()
            await server.wait_closed()


async def _ask(pair: Pair, message: bytes) -> bytes:
    reader, writer = pair
    writer.write(len(message).to_bytes(2, "big") + message)
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)


def test_several_messages_come_by_one_connection() -> None:
    """
    Each has its length before it, and its response too.
    """

    async def talk() -> list[bytes]:
        served = Served()
        async with served.listening() as address:
            pair = await asyncio.open_connection(*address)
            answers = [await _ask(pair, message) for message in (b"abc", b"x" * 60_000)]
            assert served.lookups.last_activity(served.owner) > 0
            pair[1].close()
            return answers

    assert asyncio.run(talk()) == [b"cba", b"x" * 60_000]


def test_an_address_that_is_not_registered_gets_no_response() -> None:
    """
    Its connection is closed at once.
    """

    async def talk() -> bytes:
        served = Served(registered=False)
        async with served.listening() as address:
            reader, writer = await asyncio.open_connection(*address)
            data = await reader.read()
            writer.close()
            return data

    assert asyncio.run(talk()) == b""


def test_a_message_without_response_ends_the_connection() -> None:
    """
    A client that sends garbage has to connect again.
    """

    async def talk() -> bytes:
        async with Served().listening() as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"\0\0")
            data = await reader.read()
            writer.close()
            return data

    assert asyncio.run(talk()) == b""


def test_connections_beyond_the_limit_are_closed_and_logged_once() -> None:
    """
    The log says so again only after half of them have ended.
    """

    async def talk() -> list[int]:
        served, logged = Served(), []
        async with served.listening() as address:
            kept: list[Pair] = []

            async def fill() -> None:
                while len(kept) < MAX_DNS_CONNECTIONS:
                    kept.append(await asyncio.open_connection(*address))
                    await _ask(kept[-1], b"abc")

            async def refused() -> None:
                reader, writer = await asyncio.open_connection(*address)
                assert await reader.read() == b""
                writer.close()

            await fill()
            await refused()
            await refused()
            logged.append(len(served.logged))
            while len(kept) > MAX_DNS_CONNECTIONS // 2 - 1:
                reader, writer = kept.pop()
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()
            await fill()
            await refused()
            logged.append(len(served.logged))
            for _, writer in kept:
                writer.close()
        return logged

    assert asyncio.run(talk()) == [1, 2]


def test_a_workspace_that_is_released_is_disconnected() -> None:
    """
    Its open connections end, and nothing of it is remembered.
    """

    async def talk() -> tuple[bytes, float]:
        served = Served()
        async with served.listening() as address:
            reader, writer = await asyncio.open_connection(*address)
            await _ask((reader, writer), b"abc")
            served.lookups.disconnect(LOCAL)
            data = b""
            with contextlib.suppress(ConnectionError):
                data = await reader.read()
            writer.close()
            while served.lookups.last_activity(served.owner):
                await asyncio.sleep(0)
            return data, served.lookups.last_activity(served.owner)

    assert asyncio.run(talk()) == (b"", 0.0)


def test_a_sentinel_is_noticed_and_closed() -> None:
    """
    A barrier knows by it that every earlier connection has been accepted.
    """

    async def talk() -> tuple[bool, bytes]:
        served, arrived = Served(), asyncio.Event()
        async with served.listening() as address:
            with socket.socket() as sentinel:
                sentinel.setblocking(False)
                sentinel.bind((LOCAL, 0))
                served.lookups.sentinels[sentinel.getsockname()] = arrived.set
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sentinel, address)
                data = await loop.sock_recv(sentinel, 1)
            return arrived.is_set(), data

    assert asyncio.run(talk()) == (True, b"")
