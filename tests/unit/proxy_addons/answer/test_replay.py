"""Responses from a cassette."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy_addons.answer.replay import CassetteReplay
from proxy_addons.state.cassette_player import CassettePlayer
from proxy_addons.state.judgement import Judgement, digest_of
from pytest_codex_workspace.network.rules.cassette import Cassette, Exchange, digest, lines_of
from tests.helpers.flows import ADDRESS, AddonChain

if TYPE_CHECKING:
    from mitmproxy import http

URL = "https://example.org/"
BODY = b"recorded"


class ReplayingChain(AddonChain):
    """
    The chain with a cassette of one exchange.
    """

    def __init__(self, path: Path, **fields: Any) -> None:
        super().__init__()
        exchange = Exchange(**{"method": "GET", "url": URL, "status": 200, **fields})
        path.write_bytes(b"".join(lines_of([exchange], lambda _: BODY)))
        self.path = path
        self.registry.set_cassette(ADDRESS, "c", CassettePlayer(Cassette(path), set()))
        self.replay = CassetteReplay(self.registry)

    def send(self, body: bytes = b"", **request: Any) -> tuple[http.Response, Judgement]:
        """
        Send a request through the chain, and return its response.
        """
        flow = self.flow(self.connect(("example.org", 443), sni="example.org"), **request)
        self.request(flow)
        self.replay.requestheaders(flow)
        if taken := digest_of(flow):
            taken.update(body)
        self.replay.request(flow)
        judgement = Judgement.of(flow)
        assert flow.response is not None
        assert judgement is not None
        return flow.response, judgement


def test_a_recorded_response_is_played(tmp_path: Path) -> None:
    """
    Status, header fields and body are those of the recording.
    """
    chain = ReplayingChain(
        tmp_path / "c", status=201, headers=(("etag", '"1"'),), content=digest(BODY)
    )
    response, judgement = chain.send()

    assert (response.status_code, response.content) == (201, BODY)
    assert response.headers["etag"] == '"1"'
    assert response.headers["content-length"] == str(len(BODY))
    assert judgement.decision.verdict == "replayed"


def test_the_request_is_not_approved_to_leave(tmp_path: Path) -> None:
    """
    Whatever goes wrong later, no connection is made for a request that is played.
    """
    chain = ReplayingChain(tmp_path / "c", content=digest(BODY))
    chain.send()

    assert all(each.approved == {} for each in chain.registry.connections(ADDRESS))


def test_a_head_request_gets_the_length_without_the_body(tmp_path: Path) -> None:
    """
    The cassette has the fields; the body is left out.
    """
    response, _ = ReplayingChain(tmp_path / "c", method="HEAD", content=digest(BODY)).send(
        method="HEAD"
    )

    assert response.headers["content-length"] == str(len(BODY))
    assert response.raw_content == b""


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_body_has_no_length(tmp_path: Path, status: int) -> None:
    """
    A client would wait for the body.
    """
    response, _ = ReplayingChain(tmp_path / "c", status=status).send()

    assert response.status_code == status
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("recorded", "sent", "found"), [(b"x", b"x", True), (b"x", b"y", False), (b"", b"x", False)]
)
def test_the_body_of_a_request_decides(
    tmp_path: Path, recorded: bytes, sent: bytes, found: bool
) -> None:
    """
    A request with another body is another request.
    """
    chain = ReplayingChain(
        tmp_path / "c", method="POST", body=digest(recorded) if recorded else "", content=""
    )
    response, judgement = chain.send(sent, method="POST")

    assert (response.status_code == 200) is found
    assert (judgement.decision.reason == "cassette-miss") is not found


def test_a_request_that_was_not_recorded_is_refused_with_advice(tmp_path: Path) -> None:
    """
    The explanation names the request, the nearest recording and what to do.
    """
    response, judgement = ReplayingChain(tmp_path / "c", content=digest(BODY)).send(path="/other")

    assert response.status_code == 403
    assert judgement.decision.reason == "cassette-miss"
    explanation = judgement.decision.explanation
    assert "no response to GET https://example.org/other" in explanation
    assert f"The nearest is GET {URL}" in explanation
    assert "--codex-cassette=record" in explanation


def test_a_damaged_cassette_refuses_the_request(tmp_path: Path) -> None:
    """
    A body that cannot be read is not replaced by an empty one.
    """
    chain = ReplayingChain(tmp_path / "c", content=digest(BODY))
    chain.path.unlink()
    response, judgement = chain.send()

    assert response.status_code == 403
    assert "The cassette cannot be played" in judgement.decision.explanation


def test_a_refused_request_is_not_played(tmp_path: Path) -> None:
    """
    The policy counts before the cassette.
    """
    response, judgement = ReplayingChain(tmp_path / "c", content=digest(BODY)).send(
        headers=((b"host", b"other.example"),)
    )

    assert response.status_code == 403
    assert judgement.decision.reason == "name-mismatch"
