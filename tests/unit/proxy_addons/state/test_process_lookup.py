"""Asking the host who has a socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

from proxy_addons.state.connections import ConnectionRegistry, RegisteredWorkspace
from proxy_addons.state.limits import MAX_PROCESS_LOOKUPS, PROCESS_LOOKUPS_PER_SECOND
from proxy_addons.state.process_lookup import ProcessLookup, is_connected
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY

CLIENT, SERVER = ("172.30.0.9", 40000), ("172.30.0.2", 8080)


class Host:
    """
    The host's end.
    """

    def __init__(self, seconds: float = 60) -> None:
        self.asked: list[dict[str, Any]] = []
        self.now = 100.0
        self.lookup = ProcessLookup(self.asked.append, seconds, lambda: self.now)
        self.registry = ConnectionRegistry(HTTPS_ONLY)

    def owner(self, workspace: str = "w1", *, names: bool = True) -> RegisteredWorkspace:
        """
        Return a workspace that has an address.
        """
        address = f"172.30.0.{len(workspace)}{workspace[-1]}"
        self.registry.register(address, workspace, "test", names_processes=names)
        return self.registry.owner(address)

    def answer(self, process: object, number: int = -1) -> None:
        """
        Answer a question.
        """
        self.lookup.take({"lookup": self.asked[number]["lookup"], "process": process})


def test_the_answer_is_that_of_the_workspace() -> None:
    """
    The question names it, and both ends of the socket.
    """
    host = Host()

    async def run() -> str:
        owner = host.owner()
        answer = host.lookup.ask(owner, "tcp", (*CLIENT, 0, 0), SERVER)
        assert answer is not None
        assert owner.process_lookups == 1
        host.answer("sh › x\x1b[31m")
        host.answer("a second answer")
        found = await answer
        assert owner.process_lookups == 0
        return found

    assert asyncio.run(run()) == "sh › x\\x1b[31m"
    [asked] = host.asked
    assert (asked["event"], asked["workspace"], asked["protocol"]) == ("process", "w1", "tcp")
    assert (asked["client"], asked["server"]) == (list(CLIENT), list(SERVER))


def test_silence_is_not_waited_for() -> None:
    """
    The process is not known then, and an answer that comes late is nobody's.
    """
    host = Host(seconds=0.01)

    async def run() -> str:
        owner = host.owner()
        answer = host.lookup.ask(owner, "tcp", CLIENT, SERVER)
        assert answer is not None
        found = await answer
        host.answer("too late")
        second = host.lookup.ask(owner, "tcp", CLIENT, SERVER)
        assert second is not None
        host.answer("of the first", 0)
        return found + await second

    assert asyncio.run(run()) == ""


@pytest.mark.parametrize("process", ["x" * 1_000_000, None, {"a": []}, ["\0"] * 9])
def test_any_answer_is_short_printable_text(process: object) -> None:
    """
    It ends up in a log.
    """
    host = Host()

    async def run() -> str:
        answer = host.lookup.ask(host.owner(), "tcp", CLIENT, SERVER)
        assert answer is not None
        host.answer(process)
        return await answer

    found = asyncio.run(run())
    assert len(found) <= 1000
    assert found.isprintable()


def test_a_flood_is_not_asked_about() -> None:
    """
    Neither many at once nor many in a second; others are not affected.
    """
    host = Host()

    async def run() -> None:
        owner, other = host.owner(), host.owner("w2")
        answers = [host.lookup.ask(owner, "tcp", CLIENT, SERVER) for _ in range(100)]
        asked = [each for each in answers if each is not None]
        assert len(asked) == MAX_PROCESS_LOOKUPS
        answers += [one := host.lookup.ask(other, "udp", CLIENT, SERVER)]
        assert one is not None
        for number in range(len(host.asked)):
            host.answer("x", number)
        await asyncio.gather(*asked, one)

        async def count() -> int:
            found = 0
            while (answer := host.lookup.ask(owner, "tcp", CLIENT, SERVER)) is not None:
                host.answer("x")
                await answer
                found += 1
            return found

        assert await count() == PROCESS_LOOKUPS_PER_SECOND - MAX_PROCESS_LOOKUPS
        host.now += 0.125
        assert await count() == PROCESS_LOOKUPS_PER_SECOND // 8

    asyncio.run(run())


def test_a_host_that_cannot_tell_is_not_asked() -> None:
    """
    It says so when it registers a workspace.
    """
    host = Host()

    assert host.lookup.ask(host.owner(names=False), "tcp", CLIENT, SERVER) is None
    assert host.asked == []


@pytest.mark.parametrize("ending", ["none", "half", "reset"])
def test_a_reset_is_known_before_the_port_can_be_used_again(ending: str) -> None:
    """
    A client that only ends its sending still has its port.
    """

    async def run() -> bool:
        accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0
        )
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            writer = await accepted
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            if ending == "half":
                client.shutdown(socket.SHUT_WR)
            elif ending == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            found = is_connected(writer.transport)
            writer.transport.abort()
            assert not is_connected(writer.transport)
        server.close()
        await server.wait_closed()
        return found

    assert asyncio.run(run()) is (ending != "reset")
