"""
Answers and faults that a test asked for.

Stubs are asked by the gate, so that it stays the one place where a request is
judged; faults strike afterwards, on what was allowed or stubbed.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mitmproxy import http

from pytest_codex_workspace.network.hosts import host_matches
from pytest_codex_workspace.network.policy import Decision, decide

from ..state.judgement import Judgement

if TYPE_CHECKING:
    from pytest_codex_workspace.network.policy import Policy, RequestFacts

    from ..state.connections import Conversation, Registry

__all__ = ["Faults", "Route", "admits_tunnel", "find_stub", "opened"]

_CLOSED_BY_HOST = ("host-not-allowed", "offline", "private-address")
_FAULT = "A fault was asked for by the test: {}."


@dataclass(slots=True)
class Route:
    """
    One stub or fault of a workspace.

    Attributes:
        id: names it in the events of what it answered.
        kind: `stub`, or which fault: `latency`, `reset`, `status`, `truncate`.
        host, path, path_regex, method: what a request must be; `None` leaves
            it open.
        status, headers, body: of the answer.
        seconds: of the latency.
        after: bytes before the truncation; `None` for half of the body.
        times: how many more requests it applies to; `None` for all.
    """

    id: int
    kind: str
    host: str | None = None
    path: str | None = None
    path_regex: re.Pattern[str] | None = None
    method: str | None = None
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    seconds: float = 0.0
    after: int | None = None
    times: int | None = None

    @classmethod
    def of(cls, message: dict[str, Any]) -> Route:
        """
        The route that a message of the host describes.
        """
        fields = dict(message)
        if regex := fields.get("path_regex"):
            fields["path_regex"] = re.compile(regex)
        fields["body"] = base64.b64decode(fields.get("body", ""))
        fields["headers"] = tuple(
            (name.encode(), value.encode()) for name, value in fields.get("headers", ())
        )
        return cls(**fields)

    def names(self, host: str) -> bool:
        """
        Whether it is for *host* in particular.
        """
        return self.host not in (None, "*") and host_matches(str(self.host), host)

    def matches(self, request: http.Request, host: str) -> bool:
        """
        Whether it is for *request*.
        """
        path = request.path
        return (
            self.times != 0
            and (self.host is None or host_matches(self.host, host))
            and (self.method is None or self.method == request.method.upper())
            and (self.path is None or self.path in (path, path.partition("?")[0]))
            and (self.path_regex is None or self.path_regex.search(path) is not None)
        )

    def use(self) -> None:
        """
        Count one request.
        """
        if self.times is not None:
            self.times -= 1

    def response(self, method: str) -> http.Response:
        """
        The answer to a request with *method*.
        """
        response = http.Response.make(self.status, b"", self.headers)
        if self.status in (204, 304):
            response.headers.pop("content-length", None)
            return response
        response.headers["content-length"] = str(len(self.body))
        if method.upper() != "HEAD":
            # As it is: `content` would pack it once more for a content-encoding.
            response.raw_content = self.body
        return response


def opened(policy: Policy) -> Policy:
    """
    *policy* as it judges a stubbed request: no host is closed, for nothing
    of it leaves; every other rule stands.
    """
    everywhere = ("0.0.0.0/0", "::/0")
    return replace(policy, offline=False, allow=(), deny=(), private=everywhere)


def admits_tunnel(facts: RequestFacts, decision: Decision, conversation: Conversation) -> bool:
    """
    Whether a tunnel that the policy refused is needed for a stub that names
    its host. Each request in it is judged again.
    """
    workspace = conversation.workspace
    return (
        decision.reason in _CLOSED_BY_HOST
        and any(one.kind == "stub" and one.names(facts.host) for one in workspace.routes)
        and decide(facts, opened(workspace.policy)).allowed
    )


def find_stub(
    request: http.Request, facts: RequestFacts, decision: Decision, conversation: Conversation
) -> Route | None:
    """
    The newest stub that answers a request: any that matches if the policy
    allows it, one that names the host if only its host was refused.
    """
    workspace = conversation.workspace
    for route in workspace.routes:
        if route.kind != "stub" or not route.matches(request, facts.host):
            continue
        if decision.allowed:
            return route
        if (
            decision.reason in _CLOSED_BY_HOST
            and route.names(facts.host)
            and decide(facts, opened(workspace.policy)).allowed
        ):
            return route
    return None


class Faults:
    """
    Lets faults strike. An addon, behind the recorder.

    Args:
        registry: knows the workspaces and their routes.
        reset: ends a client's connection with a reset.
        close: ends it when what was sent so far has gone out.
    """

    def __init__(
        self,
        registry: Registry,
        reset: Callable[[Conversation], None],
        close: Callable[[Conversation], None],
    ) -> None:
        self._registry = registry
        self._reset = reset
        self._close = close
        self._cutting: dict[str, Route] = {}

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """
        Delay a request, reset its connection, or answer with an error.
        """
        found = self._struck(flow)
        if found is None:
            return
        route, judgement, conversation = found
        match route.kind:
            case "latency":
                await asyncio.sleep(route.seconds)
            case "reset":
                judgement.decision = _failed("the connection was reset")
                self._reset(conversation)
                if flow.killable:
                    flow.kill()  # type: ignore[no-untyped-call]
            case "status":
                text = _FAULT.format(f"status {route.status}")
                judgement.decision = Decision("stubbed", None, text)
                flow.response = http.Response.make(route.status, text + "\n")
                flow.request.stream = False
            case "truncate":
                self._cutting[flow.id] = route

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Cut an answer off.
        """
        route = self._cutting.pop(flow.id, None)
        conversation = self._registry.conversation(flow.client_conn)
        response = flow.response
        judgement = Judgement.of(flow)
        if not (route and judgement and response and conversation):
            return
        judgement.decision = _failed("the answer was cut off")
        content = response.raw_content
        if content is not None:
            keep = len(content) // 2 if route.after is None else route.after
            response.data.content = content[:keep]
            response.headers["connection"] = "close"
            return
        length = response.headers.get("content-length", "")
        whole = int(length) if length.isdecimal() else 0
        left = whole // 2 if route.after is None else route.after
        passing = response.stream

        def cut(data: bytes) -> list[bytes]:
            nonlocal left
            piece, left = data[:left], left - len(data[:left])
            if callable(passing):
                passing(piece)
            if not left:
                # Once this piece has been written.
                asyncio.get_running_loop().call_soon(self._close, conversation)
            return [piece] if piece else []

        response.stream = cut

    def error(self, flow: http.HTTPFlow) -> None:
        """
        Forget a flow that ended otherwise.
        """
        self._cutting.pop(flow.id, None)

    def _struck(self, flow: http.HTTPFlow) -> tuple[Route, Judgement, Conversation] | None:
        judgement = Judgement.of(flow)
        conversation = self._registry.conversation(flow.client_conn)
        if judgement is None or conversation is None:
            return None
        if judgement.decision.verdict not in ("allowed", "stubbed", "replayed"):
            return None
        for route in conversation.workspace.routes:
            if route.kind != "stub" and route.matches(flow.request, judgement.facts.host):
                route.use()
                judgement.routes.append(route.id)
                return route, judgement, conversation
        return None


def _failed(what: str) -> Decision:
    return Decision("failed", "upstream-error", _FAULT.format(what))
