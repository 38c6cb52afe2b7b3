"""Look-ups of one workspace do not block those of another."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from proxy_addons.judge import addresses
from proxy_addons.judge.addresses import GuardedEventLoop
from proxy_addons.state.connections import WorkspaceConnection
from proxy_addons.state.limits import MAX_LOOKUPS
from pytest_codex_workspace.network.rules.policy import RequestFacts
from tests.helpers.flows import AddonChain

if TYPE_CHECKING:
    import pytest


def test_slow_names_do_not_delay_other_workspaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A workspace has few look-ups at a time; abandoned ones count until they end.
    """
    answered, lock = threading.Event(), threading.Lock()
    asked: list[str] = []

    def look_up(host: str, *_: Any) -> list[Any]:
        with lock:
            asked.append(host)
        if host.startswith("slow"):
            assert answered.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    chain = AddonChain()
    chain.registry.register("172.30.0.10", "w2", "test")
    slow, quick = chain.connect(), chain.connect()
    quick.workspace = chain.registry.workspace("172.30.0.10")

    async def resolve(connection: WorkspaceConnection, host: str) -> list[Any]:
        addresses._connecting.set((connection, RequestFacts(host)))
        return await asyncio.get_running_loop().getaddrinfo(host, 443)

    async def attack() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(MAX_LOOKUPS + 1))
        waiting = [asyncio.create_task(resolve(slow, f"slow{n}.example")) for n in range(20)]
        try:
            assert await asyncio.wait_for(resolve(quick, "quick.example"), 5)
            assert len(asked) == MAX_LOOKUPS + 1
            # Whoever goes away leaves the thread behind.
            for each in waiting[:10]:
                each.cancel()
            await asyncio.wait(waiting[:10])
            assert await asyncio.wait_for(resolve(quick, "again.example"), 5)
            assert len(asked) == MAX_LOOKUPS + 2
        finally:
            answered.set()
        assert len(await asyncio.gather(*waiting[10:])) == 10

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        runner.run(attack())


def test_a_slow_look_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error is the same whether the name server is slow or earlier look-ups are.
    """
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [answered.wait(20)])

    async def attack() -> list[BaseException | list[Any]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, GuardedEventLoop)
        lookups = [
            loop.lookups.run("a", asyncio.SelectorEventLoop.getaddrinfo(loop, "x", 1), 0.2)
            for _ in range(MAX_LOOKUPS + 1)
        ]
        try:
            return await asyncio.gather(*lookups, return_exceptions=True)
        finally:
            answered.set()

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        errors = runner.run(attack())

    assert [str(error) for error in errors] == [
        "the name was not resolved within 0.2 s" for _ in range(MAX_LOOKUPS + 1)
    ]
