"""
The form that events have on their way to the host.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.text import plain

from .redact import printable, safe_host, url_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..state.judgement import Judgement

__all__ = ["Journal"]


class Journal:
    """
    Numbers events and sends them off.

    Args:
        emit: takes each event.
    """

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self._emit = emit
        self._ids = itertools.count(1)

    def write(
        self,
        judgement: Judgement,
        started: float,
        **seen: Any,
    ) -> None:
        """
        Tell the host of a request.

        Args:
            judgement: of it.
            started: when it began.
            seen: what `describe` takes.
        """
        self._emit(
            {
                "event": "request",
                "workspace": judgement.workspace,
                **self.describe(judgement, started, **seen),
            }
        )

    def describe(
        self,
        judgement: Judgement,
        started: float,
        *,
        status: int | None = None,
        size: int | None = None,
        path: str = "",
        ended: float | None = None,
        **bodies: str | None,
    ) -> dict[str, Any]:
        """
        A request as the host is told of it.

        Args:
            judgement: of it.
            started: when it began.
            status: of the answer.
            size: of the answer's body.
            path: with nothing in it that must not be in the log.
            ended: when it ended.
            bodies: what is kept of them.
        """
        facts, decision = judgement.facts, judgement.decision
        host = safe_host(facts.host)
        return {
            "id": next(self._ids),
            "time": started,
            "phase": judgement.phase,
            "method": printable(facts.method.encode("utf-8", "replace"))[:32],
            "scheme": plain(facts.scheme),
            "host": host,
            "port": facts.port,
            "path": path,
            "url": url_of(facts.scheme, host, facts.port, path),
            "status": status,
            "size": size,
            "duration": None if ended is None else max(0.0, ended - started),
            "verdict": decision.verdict,
            "reason": decision.reason,
            "explanation": plain(decision.explanation),
            "routes": judgement.routes,
            **bodies,
        }
