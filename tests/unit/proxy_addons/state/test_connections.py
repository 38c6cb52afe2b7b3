"""The registered workspaces and their connections."""

from __future__ import annotations

import pytest
from mitmproxy.test import tflow

from proxy_addons.state.connections import ConnectionRegistry
from pytest_codex_workspace.network.policy import HTTPS_ONLY, Policy
from tests.helpers.flows import AddonChain


def test_an_unregistered_address_is_not_admitted(caplog: pytest.LogCaptureFixture) -> None:
    """
    Its connection is closed before it can say anything.
    """
    chain = AddonChain()
    client = tflow.tclient_conn()
    client.peername = ("172.30.0.200", 1)
    chain.registry.client_connected(client)

    assert client.error == "not registered"
    assert "172.30.0.200" in caplog.text


def test_registering_twice() -> None:
    """
    The same workspace changes its phase, another one must wait.
    """
    chain = AddonChain()
    chain.registry.register("172.30.0.9", "w1", "resume")

    assert chain.registry.workspace("172.30.0.9").phase == "resume"
    with pytest.raises(ValueError, match="still belongs to workspace w1; release it first"):
        chain.registry.register("172.30.0.9", "w2", "test")
    with pytest.raises(ValueError, match="not registered"):
        chain.registry.set_policy("172.30.0.8", Policy())


def test_only_a_standalone_proxy_serves_anyone():
    """
    Elsewhere an address that nobody registered is refused.
    """
    registry = ConnectionRegistry(HTTPS_ONLY)
    assert registry.workspace("172.20.0.3") is None

    registry.accept_any_address = True
    found = registry.workspace("172.20.0.3")

    assert found is not None
    assert (found.id, found.policy) == ("172.20.0.3", HTTPS_ONLY)
