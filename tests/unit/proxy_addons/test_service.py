"""Tests of the operations of the host, on a registry without servers.

tests/integration/test_proxy_process.py has the others, with the proxy in a process.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from proxy_addons.barrier import BarrierResult
from proxy_addons.state.connections import ConnectionRegistry
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY

ADDRESS = "172.30.0.3"


# The service imports mitmproxy's own addons, and they import old modules.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_late_release_leaves_the_next_owner_alone() -> None:
    """
    While a release waits for what its workspace has sent, another one may have ended it.
    """
    from proxy_addons.service import ProxyService

    registry = ConnectionRegistry(HTTPS_ONLY)
    registry.register(ADDRESS, "first", "test")
    disconnected: list[str] = []

    async def wait(*_: object) -> BarrierResult:
        registry.unregister(ADDRESS)
        registry.register(ADDRESS, "second", "test")
        return BarrierResult(passed=True, complete=True)

    service = ProxyService.__new__(ProxyService)
    service._assembly = SimpleNamespace(registry=registry, disconnect=disconnected.append)
    service._barrier = SimpleNamespace(wait=wait)

    message = {"address": ADDRESS, "workspace": "first"}
    assert asyncio.run(service.release(message)) == {"ok": True, "passed": True}
    assert registry.owner(ADDRESS).id == "second"
    assert disconnected == []
