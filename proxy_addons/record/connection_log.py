"""
Log what happens on connections apart from requests.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.policy import Decision, RequestFacts, decide

from ..state.connections import TOO_MANY_CONNECTIONS, UNPARSABLE_HELLO
from ..state.judgement import Judgement
from ..state.limits import IDLE_SECONDS, MAX_BUFFERED_BYTES, MAX_CONNECTIONS

if TYPE_CHECKING:
    from mitmproxy import tls
    from mitmproxy.connection import Client

    from ..state.connections import ConnectionRegistry, RegisteredWorkspace, WorkspaceConnection
    from .events import EventWriter

__all__ = ["ConnectionLogger"]

_UNTRUSTED = (
    "The client opened a tunnel to {host}, received the proxy's certificate and sent no request: "
    "it probably does not trust the certificate. Set the variable that this tool reads "
    "(SSL_CERT_FILE, REQUESTS_CA_BUNDLE, PIP_CERT, NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE, "
    "GIT_SSL_CAINFO, CARGO_HTTP_CAINFO, DENO_CERT, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH) to the file "
    "in CODEX_PROXY_CERT. Java reads a trust store of its own, and Chromium and Firefox an NSS "
    "store: `certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n codex -i $CODEX_PROXY_CERT`."
)
_UNUSED = "The client opened a tunnel to {host} and closed it without sending anything."
_IDLE = f"The connection was closed because no request came within {IDLE_SECONDS:.0f} s."
_TOO_MANY = (
    f"This workspace reached the limit of {MAX_CONNECTIONS} connections to the proxy; further "
    "connections were closed. This is logged again only after half of them have ended."
)
_TOO_MUCH = (
    f"This workspace exceeded the limit of {MAX_BUFFERED_BYTES >> 20} MB of unfinished requests in "
    "the proxy; a connection that sent more was closed. This is logged again only after half of "
    "them have gone."
)
_TOO_LATE = (
    "Connections of this workspace reached the proxy only after this phase had ended, and were "
    "closed unread: {}."
)
_PROXY = RequestFacts("proxy", method="UNKNOWN", scheme="http", port=8080, encrypted=False)
"""The facts of a connection that has not said where it leads."""


class ConnectionLogger:
    """
    Log tunnels that failed, connections that were closed, and names that were
    looked up. An addon, behind the request log.

    Args:
        registry: knows the connections.
        events: sends the events.
    """

    def __init__(self, registry: ConnectionRegistry, events: EventWriter) -> None:
        self._registry = registry
        self._events = events

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """
        Log that the handshake in a tunnel failed.
        """
        connection = self._registry.connection(data.context.client)
        if connection is None or connection.tunnel is None:
            return
        error = data.conn.error or ""
        if error.startswith(UNPARSABLE_HELLO):
            facts = replace(_facts(connection), payload="not-tls")
            decision = decide(facts, connection.workspace.policy)
            if (what := error.removeprefix(UNPARSABLE_HELLO)) and " " in what:
                # Our own error; mitmproxy's is a dump of the bytes.
                decision = replace(decision, explanation=f"{decision.explanation} ({what})")
            self.log_tunnel(connection, facts, decision)
        elif not connection.outcome_logged:
            self._log_failed_tunnel(connection, f"{_UNTRUSTED} ({error})")

    def client_connected(self, client: Client) -> None:
        """
        Log a connection beyond the limit.
        """
        workspace = self._registry.workspace(client.peername[0])
        if client.error != TOO_MANY_CONNECTIONS or workspace is None:
            return
        if not workspace.connection_limit_logged:
            workspace.connection_limit_logged = True
            decision = Decision("failed", None, _TOO_MANY)
            judgement = Judgement(_PROXY, decision, workspace.id, workspace.phase)
            self._events.write_request(judgement, time.time())

    def log_late(self, workspace: RegisteredWorkspace, count: int) -> None:
        """
        Log that *count* connections of an owner came after its end, and were closed.
        """
        decision = Decision("failed", None, _TOO_LATE.format(count))
        judgement = Judgement(_PROXY, decision, workspace.id, workspace.phase)
        self._events.write_request(judgement, time.time())

    def log_malformed(self, client: Client, error: str) -> Decision | None:
        """
        Log that a connection sent something that is not a request.

        Returns:
            The decision that was logged, `None` if the connection belongs to no workspace.
        """
        connection = self._registry.connection(client)
        if connection is None:
            return None
        facts = replace(_facts(connection), payload="malformed")
        decision = decide(facts, connection.workspace.policy)
        if "mismatched :authority and Host" in error:
            decision = Decision("blocked", "name-mismatch", "All names of a request must agree.")
        decision = replace(decision, explanation=f"{decision.explanation} ({error})")
        if not connection.outcome_logged:
            self.log_tunnel(connection, facts, decision)
        return decision

    def log_idle(self, connection: WorkspaceConnection) -> None:
        """
        Log that a connection is closed because no request came.
        """
        self.log_tunnel(connection, _facts(connection), Decision("failed", None, _IDLE))

    def log_memory_limit(self, connection: WorkspaceConnection) -> None:
        """
        Log that a connection is closed because its workspace exceeds the memory limit.
        """
        workspace = connection.workspace
        connection.outcome_logged = True
        if workspace.memory_limit_logged:
            return
        workspace.memory_limit_logged = True
        decision = Decision("failed", None, _TOO_MUCH)
        judgement = Judgement(_facts(connection), decision, workspace.id, workspace.phase)
        self._events.write_request(judgement, time.time())

    def client_disconnected(self, client: Client) -> None:
        """
        Log a tunnel that ended without a request, and forget the connection.
        """
        connection = self._registry.connection(client)
        if connection is not None and connection.awaits_request:
            self._log_failed_tunnel(connection, _UNTRUSTED if client.tls else _UNUSED)
        self._registry.remove(client)

    def log_tunnel(
        self, connection: WorkspaceConnection, facts: RequestFacts, decision: Decision
    ) -> None:
        """
        Log a tunnel that was refused for its content, or failed without a request.
        """
        connection.outcome_logged = True
        workspace = connection.workspace
        judgement = Judgement(
            facts, decision, workspace.id, workspace.phase, process=connection.process
        )
        self._events.write_request(judgement, connection.client.timestamp_start)

    def log_lookup(
        self,
        workspace: str,
        phase: str,
        facts: RequestFacts,
        decision: Decision,
        process: str = "",
    ) -> None:
        """
        Log the look-up of a name at the proxy's resolver.
        """
        judgement = Judgement(facts, decision, workspace, phase, process=process)
        self._events.write_request(judgement, time.time())

    def _log_failed_tunnel(self, connection: WorkspaceConnection, explanation: str) -> None:
        if connection.tunnel is None:
            return
        text = explanation.format(host=connection.tunnel[0])
        self.log_tunnel(connection, _facts(connection), Decision("failed", None, text))


def _facts(connection: WorkspaceConnection) -> RequestFacts:
    """
    Return the facts of a connection without a request.
    """
    if connection.tunnel is None:
        return _PROXY
    host, port = connection.tunnel
    return RequestFacts(host, method="CONNECT", port=port)
