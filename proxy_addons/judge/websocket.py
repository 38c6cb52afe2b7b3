"""
WebSocket: recognise requests for it, and refuse a server's switch to another protocol.

The rule itself is `_websocket` in pytest_codex_workspace/network/rules/policy.py; the gate applies
it to requests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.policy import decide

from ..state.judgement import Judgement

if TYPE_CHECKING:
    from mitmproxy import http

    from ..state.connections import ConnectionRegistry

__all__ = ["UpgradeGuard", "asks_for_websocket", "strip_upgrade"]

_SWITCHING = 101


def asks_for_websocket(headers: http.Headers) -> bool:
    """
    Check whether a request asks for a WebSocket, in any of the ways that servers accept.
    """
    members = ",".join(headers.get_all("upgrade")).lower().split(",")
    return any(each.strip().startswith("websocket") for each in members) or any(
        name.lower().startswith(b"sec-websocket-") for name, _ in headers.fields
    )


def strip_upgrade(headers: http.Headers) -> None:
    """
    Remove the request for any other protocol.

    A proxy may do that, and servers go on without the upgrade.
    """
    if "upgrade" not in headers:
        return
    del headers["upgrade"]
    headers.pop("http2-settings", None)
    tokens = [each.strip() for each in ",".join(headers.get_all("connection")).split(",")]
    rest = [each for each in tokens if each and each.lower() not in ("upgrade", "http2-settings")]
    if rest:
        headers["connection"] = ", ".join(rest)
    else:
        headers.pop("connection", None)


class UpgradeGuard:
    """
    Abort an exchange whose server switches protocols without permission. An addon.
    """

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """
        Judge a 101 response.
        """
        if flow.response is None or flow.response.status_code != _SWITCHING:
            return
        connection = self._registry.connection(flow.client_conn)
        judgement = Judgement.of(flow)
        if connection and judgement:
            facts = replace(judgement.facts, websocket=True)
            decision = decide(facts, connection.workspace.policy)
            if decision.allowed and asks_for_websocket(flow.request.headers):
                return
            if decision.allowed:
                decision = replace(
                    decision,
                    verdict="blocked",
                    reason="websocket",
                    explanation=f"{facts.host} switched protocols without being asked.",
                )
            judgement.decision = decision
        flow.kill()  # type: ignore[no-untyped-call]

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """
        Discard the messages of an allowed WebSocket, which mitmproxy keeps.
        """
        if flow.websocket:
            flow.websocket.messages.clear()
