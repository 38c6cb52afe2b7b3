"""Recording exchanges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitmproxy import http

from proxy_addons.record import cassette_recorder
from pytest_codex_workspace.network.rules.cassette import digest
from tests.helpers.flows import AddonChain

if TYPE_CHECKING:
    import pytest


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
