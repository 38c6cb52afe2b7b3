"""The proxy that is configured by a file."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from proxy_addons.standalone import StandaloneLink, format_event, start_from_file

EVENT = {
    "event": "request",
    "time": 0.5,
    "workspace": "172.20.0.3",
    "verdict": "allowed",
    "reason": None,
    "method": "GET",
    "url": "https://example.com/x",
    "status": 200,
    "size": 12,
    "duration": 0.123,
}


class FakeService:
    """
    Records the message that it gets, and makes an authority if the message has none.
    """

    def __init__(self) -> None:
        self.told: dict[str, object] = {}

    async def configure(self, message):
        self.told = message
        return {"ca": None if message["ca"] else "KEY", "ca_certificate": "CERTIFICATE"}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """
    Return a settings file whose paths are below a directory of the test.
    """
    file = tmp_path / "proxy.json"
    places = {name: str(tmp_path / name) for name in ("authority", "certificate", "ready")}
    file.write_text(json.dumps({"policy": {}, "listen_name": "localhost", **places}))
    return file


def test_a_request_is_one_line():
    """
    The line has time, workspace, verdict, request and response.
    """
    written: list[str] = []
    StandaloneLink(written.append).emit(EVENT)
    StandaloneLink(written.append).emit({"event": "exchange"})

    blocked = {**EVENT, "verdict": "blocked", "reason": "offline", "size": None, "duration": None}
    assert written == [
        "1970-01-01T00:00:00Z 172.20.0.3 allowed GET https://example.com/x 200 12 bytes 0.12 s"
    ]
    assert format_event({**blocked, "status": None}) == (
        "1970-01-01T00:00:00Z 172.20.0.3 blocked (offline) GET https://example.com/x"
    )


def test_an_authority_is_made_once(settings, tmp_path):
    """
    Only the proxy can read its key; certificate and ready file come after the servers.
    """
    first, second = FakeService(), FakeService()
    asyncio.run(start_from_file(first, settings))
    (tmp_path / "ready").unlink()
    asyncio.run(start_from_file(second, settings))

    assert (None, "KEY") == (first.told["ca"], second.told["ca"])
    assert first.told["listen"] == "127.0.0.1"
    assert first.told["accept_any_address"] is True
    assert stat.S_IMODE((tmp_path / "authority").stat().st_mode) == 0o600
    assert (tmp_path / "certificate").read_text() == "CERTIFICATE"
    assert (tmp_path / "ready").exists()
