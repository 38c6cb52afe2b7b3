"""
Ask the host for the response of a stub that is a function of the test.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.network.rules.policy import Decision
from pytest_codex_workspace.network.rules.text import plain

from ..state import responses
from ..state.limits import MAX_STUB_CALLS, MAX_STUB_REQUEST_BYTES, STUB_SECONDS
from ..state.routes import CannedResponse, ProxyRoute

if TYPE_CHECKING:
    from mitmproxy import http

    from ..state.connections import RegisteredWorkspace
    from ..state.judgement import Judgement

__all__ = ["StubFunctions"]

_LONGEST_ERROR = 500


class StubFunctions:
    """
    Questions to the host, and their answers.

    Args:
        emit: sends one event to the host.
        seconds: how long an answer is waited for.
    """

    def __init__(
        self, emit: Callable[[dict[str, Any]], None], seconds: float = STUB_SECONDS
    ) -> None:
        self._emit = emit
        self._seconds = seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._calls: dict[str, int] = {}

    async def respond(
        self,
        flow: http.HTTPFlow,
        route: ProxyRoute,
        judgement: Judgement,
        workspace: RegisteredWorkspace,
    ) -> None:
        """
        Respond to a request as the function of *route* says. If it does not, the request has
        failed, and the explanation says why.
        """
        answer = await self._ask(flow.request, route, judgement, workspace)
        if error := answer.get("error"):
            text = f"The function of a stub gave no response: {plain(str(error))[:_LONGEST_ERROR]}."
            judgement.decision = Decision("failed", "upstream-error", text)
            flow.response = responses.failed_response(judgement.decision)
            return
        flow.response = CannedResponse.from_message(answer).to(flow.request.method)

    def take(self, message: dict[str, Any]) -> dict[str, Any]:
        """
        Take an answer of the host. One that nobody waits for any more is dropped.
        """
        waiting = self._waiting.get(message["call"])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        return {"ok": True}

    async def _ask(
        self,
        request: http.Request,
        route: ProxyRoute,
        judgement: Judgement,
        workspace: RegisteredWorkspace,
    ) -> dict[str, Any]:
        body = request.raw_content or b""
        head = {
            "method": request.method.upper(),
            "path": request.path,
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in request.headers.fields
            ],
        }
        # As it is written: one byte may take six.
        if len(body) + len(json.dumps(head)) > MAX_STUB_REQUEST_BYTES:
            return {"error": f"the request is longer than {MAX_STUB_REQUEST_BYTES >> 10} KiB"}
        if self._calls.get(workspace.id, 0) >= MAX_STUB_CALLS:
            return {"error": f"{MAX_STUB_CALLS} requests of this workspace wait for functions"}
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._calls[workspace.id] = self._calls.get(workspace.id, 0) + 1
        facts = judgement.facts
        try:
            self._emit(
                {
                    "event": "stub",
                    "workspace": workspace.id,
                    "route": route.id,
                    "call": number,
                    **head,
                    "scheme": facts.scheme,
                    "host": facts.host,
                    "port": facts.port,
                    "body": base64.b64encode(body).decode("ascii"),
                }
            )
            async with asyncio.timeout(self._seconds):
                return await self._waiting[number]
        except TimeoutError:
            return {"error": f"it took longer than {self._seconds:g} s"}
        finally:
            del self._waiting[number]
            self._calls[workspace.id] -= 1
            if not self._calls[workspace.id]:
                del self._calls[workspace.id]
