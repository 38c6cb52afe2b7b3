"""
Record exchanges to a cassette.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.rules.cassette import (
    BODY_LIMIT,
    Exchange,
    is_valid,
    kept_headers,
    matched_headers,
)

from ..state.judgement import Judgement, is_released
from .redact import decode_fields, fields_by_lower_name, safe_headers, safe_json, safe_url

if TYPE_CHECKING:
    from mitmproxy import http

    from ..state.connections import ConnectionRegistry

__all__ = ["CassetteRecorder"]

_CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range")
_CHUNK = 512 * 1024
_MAX_REDACTED_BYTES = 1 << 20
"""Bytes of the largest response that is searched for credentials."""


class CassetteRecorder:
    """
    Record every exchange that was allowed and completed. An addon, behind the
    request log.

    Bodies are written to files while they pass, so that memory stays bounded.

    Args:
        registry: knows the workspaces.
        emit: sends one event.
        directory: where the bodies are written.
    """

    def __init__(
        self, registry: ConnectionRegistry, emit: Callable[[dict[str, Any]], None], directory: Path
    ) -> None:
        self._registry = registry
        self._emit = emit
        self._directory = directory
        self._recorded: dict[str, _RecordedExchange] = {}

    def read_body(self, sha256: str, offset: int) -> bytes:
        """
        Return a piece of a recorded body, empty at its end.

        Args:
            sha256: digest of the body.
            offset: bytes before the piece.

        Raises:
            ValueError: *sha256* is not a digest.
            OSError: no such body was recorded.
        """
        if len(sha256) != 64 or not sha256.isalnum():
            raise ValueError(f"{sha256!r} is not a digest")
        with (self._directory / sha256).open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Ask the server for the complete response, uncompressed, whatever the client has cached.
        """
        judgement = Judgement.of(flow)
        connection = self._registry.connection(flow.client_conn)
        if not (judgement and connection and judgement.decision.allowed):
            return
        cassette = connection.workspace.cassette
        if cassette is None or connection.workspace.player is not None:
            return
        recorded = self._recorded[flow.id] = _RecordedExchange(
            cassette, fields_by_lower_name(flow.request.headers)
        )
        for name in _CONDITIONS:
            flow.request.headers.pop(name, None)
        flow.request.headers["accept-encoding"] = "identity"
        next_stream = flow.request.stream
        if next_stream:

            def stream(data: bytes) -> Any:
                recorded.sent(data)
                return next_stream(data) if callable(next_stream) else data

            flow.request.stream = stream

    def request(self, flow: http.HTTPFlow) -> None:
        """
        Record the body of a request, and begin with one that was held until now.
        """
        if is_released(flow):
            self.requestheaders(flow)
        recorded = self._recorded.get(flow.id)
        if recorded and not flow.request.stream:
            recorded.sent(flow.request.raw_content or b"")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Copy the response's body to a file while it passes.
        """
        recorded, response = self._recorded.get(flow.id), flow.response
        if recorded is None or response is None or not callable(response.stream):
            return
        next_stream = response.stream
        recorded.open(self._directory)

        def stream(data: bytes) -> Any:
            recorded.received(data)
            return next_stream(data)

        response.stream = stream

    def response(self, flow: http.HTTPFlow) -> None:
        """
        Send a complete exchange to the host.
        """
        recorded = self._recorded.pop(flow.id, None)
        judgement, response = Judgement.of(flow), flow.response
        if recorded is None:
            return
        if not (judgement and response and judgement.decision.allowed and not flow.error):
            recorded.drop()
            return
        facts = judgement.facts
        exchange = Exchange(
            method=flow.request.method.upper(),
            url=safe_url(facts.scheme, facts.host, facts.port, flow.request.data.path),
            status=response.status_code,
            match=matched_headers(fields_by_lower_name(response.headers), recorded.headers),
            body=recorded.request_digest(),
            phase=judgement.phase,
            headers=safe_headers(kept_headers(decode_fields(response.headers))),
            content=recorded.keep(self._directory, response.headers.get("content-type", "")),
        )
        if not recorded.whole or not is_valid(exchange):
            # The host only says which request this was.
            url = exchange.url
            exchange = Exchange(method=exchange.method[:32], url=url, status=502)
            recorded.whole = False
        self._emit(
            {
                "event": "exchange",
                "cassette": recorded.cassette,
                "exchange": exchange.to_json(),
                "whole": recorded.whole,
            }
        )

    def error(self, flow: http.HTTPFlow) -> None:
        """
        Discard an exchange that ended early.
        """
        if recorded := self._recorded.pop(flow.id, None):
            recorded.drop()


class _RecordedExchange:
    """
    One exchange that is being recorded.
    """

    def __init__(self, cassette: str, headers: dict[str, str]) -> None:
        self.cassette = cassette
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
        handle, name = tempfile.mkstemp(dir=directory, prefix=".recorded-")
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
        Keep the response's body under its digest, and return that; empty if there is no body.
        """
        if self._file is None or not self._size or not self.whole:
            self.drop()
            return ""
        self._file.close()
        sha256 = self._received.hexdigest()
        if "json" in kind and self._size <= _MAX_REDACTED_BYTES:
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
