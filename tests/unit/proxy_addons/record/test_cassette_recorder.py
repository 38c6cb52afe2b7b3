"""Recording exchanges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from proxy_addons.record import cassette_recorder
from pytest_codex_workspace.network.rules.cassette import digest
from tests.helpers.flows import AddonChain


def test_a_response_that_is_too_large_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It passes through unchanged and leaves no file.
    """
    monkeypatch.setattr(cassette_recorder, "BODY_LIMIT", 10)
    events: list[dict[str, Any]] = []
    chain = AddonChain()
    addon = cassette_recorder.CassetteRecorder(chain.registry, events.append, tmp_path)
    for size in (10, 11):
        connection = chain.connect(("example.org", 443), sni="example.org")
        connection.workspace.cassette = "t"
        flow = chain.flow(connection)
        flow.response = None
        chain.request(flow)
        addon.requestheaders(flow)
        flow.response = http.Response.make(200)
        flow.response.stream = lambda data: data
        addon.responseheaders(flow)
        assert flow.response.stream(b"x" * size) == b"x" * size
        addon.response(flow)

    assert [event["whole"] for event in events] == [True, False]
    assert [path.name for path in tmp_path.iterdir()] == [digest(b"x" * 10)]


@pytest.mark.parametrize("body", [b"this", b"that"])
def test_a_held_request_is_recorded_when_it_leaves(tmp_path: Path, body: bytes) -> None:
    """
    A stub sees the header fields that the client has sent.
    """
    events: list[dict[str, Any]] = []
    chain = AddonChain()
    addon = cassette_recorder.CassetteRecorder(chain.registry, events.append, tmp_path)
    chain.stub(fields={"accept-encoding": "gzip"}, content="dGhpcw==")
    connection = chain.connect(("example.org", 443), sni="example.org")
    connection.workspace.cassette = "t"
    fields = ((b"Host", b"example.org"), (b"Accept-Encoding", b"gzip"))
    flow = chain.flow(connection, method="POST", headers=fields)
    chain.request(flow)
    addon.requestheaders(flow)
    chain.end_request(flow, body)
    addon.request(flow)

    leaves = body == b"that"
    assert flow.request.headers["accept-encoding"] == ("identity" if leaves else "gzip")
    assert (flow.response is None) == leaves
    flow.response = flow.response or http.Response.make(200)
    addon.response(flow)
    assert [event["exchange"]["body"] for event in events] == [digest(body)] * leaves
