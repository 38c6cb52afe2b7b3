"""Faults: delays, resets, errors and truncated responses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from mitmproxy import http

from proxy_addons.answer.faults import FaultInjector
from proxy_addons.state.judgement import Judgement
from proxy_addons.state.routes import ProxyRoute
from pytest_codex_workspace.network.rules.policy import Decision, Policy
from tests.helpers.flows import ADDRESS, AddonChain

if TYPE_CHECKING:
    from mitmproxy.connection import Client


class FaultyChain(AddonChain):
    """
    The chain with one fault.
    """

    def __init__(self, kind: str, policy: Policy | None = None, **fields: Any) -> None:
        super().__init__(policy or Policy())
        self.reset: list[Client] = []
        self.closed: list[Client] = []
        self.faults = FaultInjector(self.registry, self.reset.append, self.closed.append)
        message = {"id": 7, "kind": kind, **fields}
        self.registry.add_route(ADDRESS, ProxyRoute.from_message(message))

    def send(self) -> tuple[http.HTTPFlow, Judgement]:
        """
        Send a request through the chain.
        """
        flow = self.flow(self.connect(("example.org", 443), sni="example.org"))
        self.request(flow)
        asyncio.run(self.faults.requestheaders(flow))
        judgement = Judgement.of(flow)
        assert judgement is not None
        return flow, judgement


def test_a_status_is_the_response() -> None:
    """
    The log says that the test asked for the error, and which fault it was.
    """
    flow, judgement = FaultyChain("status", status=503).send()

    assert flow.response is not None
    assert flow.response.status_code == 503
    assert judgement.decision == Decision(
        "stubbed", None, "The test asked for a fault: status 503."
    )
    assert judgement.routes == [7]


def test_a_reset_ends_the_connection_of_the_client() -> None:
    """
    The request does not leave.
    """
    chain = FaultyChain("reset")
    flow, judgement = chain.send()

    assert chain.reset == [flow.client_conn]
    assert flow.error is not None
    assert (judgement.decision.verdict, judgement.decision.reason) == ("failed", "upstream-error")


def test_latency_delays_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The request goes on after the seconds that the test asked for.
    """
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    flow, judgement = FaultyChain("latency", seconds=2.5).send()

    assert slept == [2.5]
    assert flow.response is None
    assert judgement.decision.allowed


def test_a_fault_applies_as_often_as_the_test_asked_for() -> None:
    """
    The next request gets through.
    """
    chain = FaultyChain("status", status=500, times=1)

    assert [chain.send()[0].response is None for _ in range(3)] == [False, True, True]


def test_a_refused_request_meets_no_fault() -> None:
    """
    A fault never hides that the policy refuses a request.
    """
    flow, judgement = FaultyChain("status", Policy(offline=True), status=500).send()

    assert flow.response is not None
    assert flow.response.status_code == 403
    assert judgement.decision.reason == "offline"


@pytest.mark.parametrize(
    ("after", "kept"), [(None, b"abc"), (0, b""), (2, b"ab"), (100, b"abcdef")]
)
def test_a_collected_response_is_truncated(after: int | None, kept: bytes) -> None:
    """
    The content-length stays, so the client sees that bytes are missing.
    """
    chain = FaultyChain("truncate", after=after)
    flow, judgement = chain.send()
    flow.response = http.Response.make(200, b"abcdef")
    chain.faults.responseheaders(flow)

    assert flow.response.data.content == kept
    assert flow.response.headers["content-length"] == "6"
    assert judgement.decision.verdict == "failed"


@pytest.mark.parametrize(("after", "kept"), [(None, b"abc"), (4, b"abcd")])
def test_a_streamed_response_is_truncated(after: int | None, kept: bytes) -> None:
    """
    The connection is closed once the last piece is out; the log counts only what was sent.
    """
    chain = FaultyChain("truncate", after=after)
    flow, _ = chain.send()
    flow.response = http.Response.make(200)
    flow.response.headers["content-length"] = "6"
    flow.response.data.content = None
    counted: list[bytes] = []
    flow.response.stream = lambda data: counted.append(data) or data
    chain.faults.responseheaders(flow)

    async def pass_through() -> bytes:
        stream = flow.response.stream  # type: ignore[union-attr]
        assert callable(stream)
        sent = b"".join(b"".join(stream(bytes([byte]))) for byte in b"abcdef")
        await asyncio.sleep(0)
        return sent

    assert asyncio.run(pass_through()) == kept
    assert b"".join(counted) == kept
    assert flow.client_conn in chain.closed


def test_a_flow_that_ends_early_is_forgotten() -> None:
    """
    Otherwise every aborted request would stay in memory.
    """
    chain = FaultyChain("truncate")
    flow, judgement = chain.send()
    chain.faults.error(flow)
    flow.response = http.Response.make(200, b"abcdef")
    chain.faults.responseheaders(flow)

    assert flow.response.content == b"abcdef"
    assert judgement.decision.allowed
