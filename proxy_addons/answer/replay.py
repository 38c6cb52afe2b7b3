"""
Answering from a cassette.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mitmproxy import http

from pytest_codex_workspace.network.cassette import Cassette, Exchange, InvalidCassette
from pytest_codex_workspace.network.policy import Decision

from ..record.redact import lower_names, safe_url
from ..state import responses as answers
from ..state.judgement import Judgement

if TYPE_CHECKING:
    from ..state.connections import Registry

__all__ = ["Player", "Replay", "digest_of"]

_DIGEST = "codex_workspace_digest"
_MISS = (
    "The cassette has no answer to {method} {url}. {nearest}Record it with "
    "--codex-cassette=record, or stub it."
)


class Player:
    """
    A cassette as one workspace plays it.

    Several answers to the same request are played in the order they were
    recorded in, and the last one again from then on.
    """

    def __init__(self, cassette: Cassette, played: set[int]) -> None:
        self.cassette = cassette
        self._played = played
        self._next: dict[tuple[object, ...], int] = {}

    def play(self, method: str, url: str, body: str, headers: dict[str, str]) -> Exchange | None:
        """
        The next answer to a request, `None` if there is none.
        """
        found = self.cassette.find(method, url, body, headers)
        if not found:
            return None
        number = self._next.get(found[0].identity, 0)
        self._next[found[0].identity] = number + 1
        exchange = found[min(number, len(found) - 1)]
        self._played.add(self.cassette.exchanges.index(exchange))
        return exchange


def digest_of(flow: http.HTTPFlow) -> hashlib._Hash | None:
    """
    Takes the pieces of a request's body, if only its digest is needed.
    """
    found: hashlib._Hash | None = flow.metadata.get(_DIGEST)
    return found


class Replay:
    """
    Answers requests that the gate left to the cassette. An addon, behind the
    recorder of the log.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Only the digest of a body is needed.
        """
        judgement = Judgement.of(flow)
        if judgement and judgement.decision.verdict == "replayed":
            flow.metadata[_DIGEST] = hashlib.sha256()

    def request(self, flow: http.HTTPFlow) -> None:
        """
        Answer, or refuse what was not recorded.
        """
        judgement = Judgement.of(flow)
        conversation = self._registry.conversation(flow.client_conn)
        taken = digest_of(flow)
        if judgement is None or taken is None or flow.response is not None:
            return
        player = conversation.workspace.player if conversation else None
        if player is None:
            judgement.decision = Decision("blocked", "cassette-miss", "There is no cassette.")
            flow.response = answers.refusal(judgement.decision)
            return
        empty = taken.hexdigest() == hashlib.sha256().hexdigest()
        facts, request = judgement.facts, flow.request
        asked = (
            request.method.upper(),
            safe_url(facts.scheme, facts.host, facts.port, request.data.path),
            "" if empty else taken.hexdigest(),
            lower_names(request.headers),
        )
        try:
            exchange = player.play(*asked)
            if exchange is not None:
                content = player.cassette.content(exchange)
                flow.response = _response(exchange, content, asked[0])
                return
            nearest = player.cassette.nearest(*asked)
            hint = f"Nearest is {nearest}. " if nearest else ""
            text = _MISS.format(method=asked[0], url=asked[1], nearest=hint)
        except (InvalidCassette, OSError) as error:
            text = f"The cassette cannot be played: {error}."
        judgement.decision = Decision("blocked", "cassette-miss", text)
        flow.response = answers.refusal(judgement.decision)


def _response(exchange: Exchange, content: bytes, method: str) -> http.Response:
    pairs = tuple((name.encode(), value.encode()) for name, value in exchange.headers)
    response = http.Response.make(exchange.status, b"", pairs)
    if exchange.status in (204, 304):
        response.headers.pop("content-length", None)
        return response
    response.headers["content-length"] = str(len(content))
    if method != "HEAD":
        response.raw_content = content
    return response
