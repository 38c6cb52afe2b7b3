"""
Recording exchanges for a cassette.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.cassette import (
    BODY_LIMIT,
    Exchange,
    kept_headers,
    matched_headers,
)

from ..state.judgement import Judgement
from .redact import lower_names, safe_headers, safe_json, safe_url, text_of

if TYPE_CHECKING:
    from mitmproxy import http

    from ..state.connections import Registry

__all__ = ["Recording"]

_CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range")
_CHUNK = 512 * 1024
_SCRUBBED = 1 << 20
"""Bytes of the largest answer that is searched for credentials."""


class Recording:
    """
    Notes every exchange that was allowed and came to its end. An addon,
    behind the recorder of the log.

    Bodies go to files while they pass, so that memory stays bounded.

    Args:
        registry: knows the workspaces.
        emit: takes each event.
        directory: for the bodies.
    """

    def __init__(
        self, registry: Registry, emit: Callable[[dict[str, Any]], None], directory: Path
    ) -> None:
        self._registry = registry
        self._emit = emit
        self._directory = directory
        self._takes: dict[str, _Take] = {}

    def piece(self, sha256: str, offset: int) -> bytes:
        """
        Part of a body by its digest; empty at its end.

        Raises:
            OSError: there is none.
        """
        if len(sha256) != 64 or not sha256.isalnum():
            raise ValueError(f"{sha256!r} is no digest")
        with (self._directory / sha256).open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Ask for the whole answer, in one encoding, whatever the client has.
        """
        judgement = Judgement.of(flow)
        conversation = self._registry.conversation(flow.client_conn)
        if not (judgement and conversation and judgement.decision.allowed):
            return
        tape = conversation.workspace.tape
        if tape is None or conversation.workspace.player is not None:
            return
        take = self._takes[flow.id] = _Take(tape, lower_names(flow.request.headers))
        for name in _CONDITIONS:
            flow.request.headers.pop(name, None)
        flow.request.headers["accept-encoding"] = "identity"
        passing = flow.request.stream
        if passing:

            def stream(data: bytes) -> Any:
                take.sent(data)
                return passing(data) if callable(passing) else data

            flow.request.stream = stream

    def request(self, flow: http.HTTPFlow) -> None:
        """
        The body of a request is complete.
        """
        take = self._takes.get(flow.id)
        if take and not flow.request.stream:
            take.sent(flow.request.raw_content or b"")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Copy the answer's body while it passes.
        """
        take, response = self._takes.get(flow.id), flow.response
        if take is None or response is None or not callable(response.stream):
            return
        passing = response.stream
        take.open(self._directory)

        def stream(data: bytes) -> Any:
            take.received(data)
            return passing(data)

        response.stream = stream

    def response(self, flow: http.HTTPFlow) -> None:
        """
        An exchange is complete.
        """
        take = self._takes.pop(flow.id, None)
        judgement, response = Judgement.of(flow), flow.response
        if take is None:
            return
        if not (judgement and response and judgement.decision.allowed and not flow.error):
            take.drop()
            return
        facts = judgement.facts
        exchange = Exchange(
            method=flow.request.method.upper(),
            url=safe_url(facts.scheme, facts.host, facts.port, flow.request.data.path),
            status=response.status_code,
            match=matched_headers(lower_names(response.headers), take.headers),
            body=take.request_digest(),
            phase=judgement.phase,
            headers=safe_headers(kept_headers(text_of(response.headers))),
            content=take.keep(self._directory, response.headers.get("content-type", "")),
        )
        self._emit(
            {
                "event": "exchange",
                "tape": take.tape,
                "exchange": exchange.to_json(),
                "whole": take.whole,
            }
        )

    def error(self, flow: http.HTTPFlow) -> None:
        """
        An exchange that broke off is none.
        """
        if take := self._takes.pop(flow.id, None):
            take.drop()


class _Take:
    """
    One exchange that is being recorded.
    """

    def __init__(self, tape: str, headers: dict[str, str]) -> None:
        self.tape = tape
        self.headers = headers
        self.whole = True
        self._sent = hashlib.sha256()
        self._sent_any = False
        self._received = hashlib.sha256()
        self._size = 0
        self._file: Any = None

    def sent(self, data: bytes) -> None:
        self._sent.update(data)
        self._sent_any = self._sent_any or bool(data)

    def request_digest(self) -> str:
        return self._sent.hexdigest() if self._sent_any else ""

    def open(self, directory: Path) -> None:
        handle, name = tempfile.mkstemp(dir=directory, prefix=".take-")
        self._file = os.fdopen(handle, "wb")
        self._path = Path(name)

    def received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > BODY_LIMIT:
            self.whole = False
        if self.whole:
            self._received.update(data)
            self._file.write(data)

    def keep(self, directory: Path, kind: str) -> str:
        """
        The digest of what was received, which names its file.
        """
        if self._file is None or not self._size or not self.whole:
            self.drop()
            return ""
        self._file.close()
        sha256 = self._received.hexdigest()
        if "json" in kind and self._size <= _SCRUBBED:
            body = self._path.read_bytes()
            clean = safe_json(body)
            if clean != body:
                self._path.write_bytes(clean)
                sha256 = hashlib.sha256(clean).hexdigest()
        self._path.replace(directory / sha256)
        return sha256

    def drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
