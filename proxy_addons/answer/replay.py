"""
Responses that are played from a cassette.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mitmproxy import http

from pytest_codex_workspace.network.rules.cassette import Exchange, InvalidCassette
from pytest_codex_workspace.network.rules.policy import Decision

from ..record.redact import fields_by_lower_name, safe_url
from ..state import responses
from ..state.judgement import Judgement, digest_body, digest_of

if TYPE_CHECKING:
    from ..state.connections import ConnectionRegistry

__all__ = ["CassetteReplay"]

_MISS = (
    "The cassette has no response to {method} {url}. {nearest}Record it with "
    "--codex-cassette=record, or stub it."
)
_EMPTY = hashlib.sha256().hexdigest()


class CassetteReplay:
    """
    Respond to requests that the gate left to the cassette. An addon, behind
    the request log.
    """

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Keep only the digest of the body of a request that is to be replayed.
        """
        judgement = Judgement.of(flow)
        if judgement and judgement.decision.verdict == "replayed":
            digest_body(flow)

    def request(self, flow: http.HTTPFlow) -> None:
        """
        Play the recorded response, or refuse a request that was not recorded.
        """
        judgement = Judgement.of(flow)
        connection = self._registry.connection(flow.client_conn)
        digest = digest_of(flow)
        if judgement is None or digest is None or flow.response is not None:
            return
        player = connection.workspace.player if connection else None
        if player is None:
            judgement.decision = Decision("blocked", "cassette-miss", "There is no cassette.")
            flow.response = responses.blocked_response(judgement.decision)
            return
        body, facts, request = digest.hexdigest(), judgement.facts, flow.request
        wanted = (
            request.method.upper(),
            safe_url(facts.scheme, facts.host, facts.port, request.data.path),
            "" if body == _EMPTY else body,
            fields_by_lower_name(request.headers),
        )
        try:
            exchange = player.play(*wanted)
            if exchange is not None:
                content = player.cassette.content(exchange)
                flow.response = _response(exchange, content, wanted[0])
                return
            nearest = player.cassette.nearest(*wanted)
            hint = f"The nearest is {nearest}. " if nearest else ""
            text = _MISS.format(method=wanted[0], url=wanted[1], nearest=hint)
        except (InvalidCassette, OSError) as error:
            text = f"The cassette cannot be played: {error}."
        judgement.decision = Decision("blocked", "cassette-miss", text)
        flow.response = responses.blocked_response(judgement.decision)


def _response(exchange: Exchange, content: bytes, method: str) -> http.Response:
    # As the recorder decoded them.
    pairs = tuple(
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in exchange.headers
    )
    response = http.Response.make(exchange.status, b"", pairs)
    if exchange.status in (204, 304):
        response.headers.pop("content-length", None)
        return response
    response.headers["content-length"] = str(len(content))
    if method != "HEAD":
        response.raw_content = content
    return response
