"""
The events that the proxy sends to the host.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.rules.text import plain

from .redact import build_url, escape_unprintable, safe_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..state.judgement import Judgement

__all__ = ["EventWriter"]


class EventWriter:
    """
    Number the events and send them.

    Args:
        emit: sends one event.
    """

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self._emit = emit
        self._ids = itertools.count(1)

    def next_number(self) -> int:
        """
        Return the id for a request that will be described later.
        """
        return next(self._ids)

    def write_request(
        self,
        judgement: Judgement,
        started: float,
        **details: Any,
    ) -> None:
        """
        Send the event of one request.

        Args:
            judgement: of the request.
            started: Unix time of its start.
            details: further arguments of `describe_request`.
        """
        self._emit(
            {
                "event": "request",
                "workspace": judgement.workspace,
                **self.describe_request(judgement, started, **details),
            }
        )

    def describe_request(
        self,
        judgement: Judgement,
        started: float,
        *,
        status: int | None = None,
        size: int | None = None,
        path: str = "",
        ended: float | None = None,
        number: int | None = None,
        **bodies: str | None,
    ) -> dict[str, Any]:
        """
        Return the fields of a request as the host gets them.

        Args:
            judgement: of the request.
            started: Unix time of its start.
            status: of the response.
            size: bytes in the response's body.
            path: redacted path and query.
            ended: Unix time of its end.
            number: its id; a new one by default.
            bodies: the first bytes of the bodies, in base64.
        """
        facts, decision = judgement.facts, judgement.decision
        host = safe_host(facts.host)
        return {
            "id": next(self._ids) if number is None else number,
            "time": started,
            "phase": judgement.phase,
            "method": escape_unprintable(facts.method.encode("utf-8", "replace"))[:32],
            "scheme": plain(facts.scheme),
            "host": host,
            "port": facts.port,
            "path": path,
            "url": build_url(facts.scheme, host, facts.port, path),
            "status": status,
            "size": size,
            "duration": None if ended is None else max(0.0, ended - started),
            "verdict": decision.verdict,
            "reason": decision.reason,
            "explanation": plain(decision.explanation),
            "routes": judgement.routes,
            "process": judgement.process,
            **bodies,
        }
