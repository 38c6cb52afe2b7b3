"""
What happens on connections apart from requests, and is in the log as well.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.policy import Decision, RequestFacts, decide

from ..state.connections import CROWDED
from ..state.judgement import Judgement
from ..state.limits import CONNECTIONS, HELD_BYTES, SILENCE_SECONDS

if TYPE_CHECKING:
    from mitmproxy import connection, tls

    from ..state.connections import Conversation, Registry
    from .events import Journal

__all__ = ["Incidents"]

_DISTRUST = (
    "The client opened a tunnel to {host}, saw the proxy's certificate and sent no request: it "
    "probably does not trust it. Let the variable that this tool reads (SSL_CERT_FILE, "
    "REQUESTS_CA_BUNDLE, PIP_CERT, NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE, GIT_SSL_CAINFO, "
    "CARGO_HTTP_CAINFO, DENO_CERT; for Java a trust store) name the file in CODEX_PROXY_CERT."
)
_SILENCE = "The client opened a tunnel to {host} and closed it without sending anything."
_STILL_SILENT = f"The connection was closed, because no request came for {SILENCE_SECONDS:.0f} s."
_CROWDED = (
    f"This workspace had {CONNECTIONS} connections to the proxy open, which is as many as it may; "
    "further ones were closed. This is logged once until half of them are gone."
)
_UNREADABLE = "Cannot parse ClientHello: "
_OVERFULL = (
    f"This workspace had {HELD_BYTES >> 20} MB of unfinished requests in the proxy, which is as "
    "many as it may; a connection that brought more was closed. This is logged once until half of "
    "them are gone."
)
_PROXY = RequestFacts("proxy", method="UNKNOWN", scheme="http", port=8080, encrypted=False)
"""What is known of a connection before it said where it leads."""


class Incidents:
    """
    Tells of tunnels that came to nothing, of connections that were closed,
    and of names that were looked up. An addon, behind the recorder.

    Args:
        registry: knows the connections.
        journal: takes the events.
    """

    def __init__(self, registry: Registry, journal: Journal) -> None:
        self._registry = registry
        self._journal = journal

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """
        A handshake in a tunnel came to nothing.
        """
        conversation = self._registry.conversation(data.context.client)
        if conversation is None or conversation.tunnel is None:
            return
        error = data.conn.error or ""
        if error.startswith(_UNREADABLE):
            facts = replace(_facts(conversation), payload="not-tls")
            decision = decide(facts, conversation.workspace.policy)
            if (what := error.removeprefix(_UNREADABLE)) and " " in what:
                # Not mitmproxy's own, which is all of the bytes.
                decision = replace(decision, explanation=f"{decision.explanation} ({what})")
            self.tunnel(conversation, facts, decision)
        elif not conversation.settled:
            self._failed_tunnel(conversation, f"{_DISTRUST} ({error})")

    def client_connected(self, client: connection.Client) -> None:
        """
        A connection that was one too many.
        """
        workspace = self._registry.workspace(client.peername[0])
        if client.error != CROWDED or workspace is None or workspace.crowded:
            return
        workspace.crowded = True
        decision = Decision("failed", None, _CROWDED)
        self._journal.write(Judgement(_PROXY, decision, workspace.id, workspace.phase), time.time())

    def malformed(self, client: connection.Client, what: str) -> Decision | None:
        """
        A connection carried something that is no request.

        Returns:
            What was decided, `None` if there is nobody to tell.
        """
        conversation = self._registry.conversation(client)
        if conversation is None:
            return None
        facts = replace(_facts(conversation), payload="malformed")
        decision = decide(facts, conversation.workspace.policy)
        if "mismatched :authority and Host" in what:
            decision = Decision("blocked", "name-mismatch", "All names of a request must agree.")
        decision = replace(decision, explanation=f"{decision.explanation} ({what})")
        if not conversation.settled:
            self.tunnel(conversation, facts, decision)
        return decision

    def silent(self, conversation: Conversation) -> None:
        """
        A connection is about to be closed because nothing came.
        """
        self.tunnel(conversation, _facts(conversation), Decision("failed", None, _STILL_SILENT))

    def full(self, conversation: Conversation) -> None:
        """
        A connection is about to be closed because its workspace has too much
        in the proxy.
        """
        workspace = conversation.workspace
        conversation.settled = True
        if workspace.overfull:
            return
        workspace.overfull = True
        decision = Decision("failed", None, _OVERFULL)
        self._journal.write(
            Judgement(_facts(conversation), decision, workspace.id, workspace.phase), time.time()
        )

    def client_disconnected(self, client: connection.Client) -> None:
        """
        A connection has ended.
        """
        conversation = self._registry.conversation(client)
        if conversation is not None and conversation.undecided:
            self._failed_tunnel(conversation, _DISTRUST if client.tls else _SILENCE)
        self._registry.drop(client)

    def tunnel(self, conversation: Conversation, facts: RequestFacts, decision: Decision) -> None:
        """
        A tunnel was cut off for what it carried, or carried nothing.
        """
        conversation.settled = True
        workspace = conversation.workspace
        judgement = Judgement(facts, decision, workspace.id, workspace.phase)
        self._journal.write(judgement, conversation.client.timestamp_start)

    def lookup(self, workspace: str, phase: str, facts: RequestFacts, decision: Decision) -> None:
        """
        A name was looked up around the proxy.
        """
        self._journal.write(Judgement(facts, decision, workspace, phase), time.time())

    def _failed_tunnel(self, conversation: Conversation, explanation: str) -> None:
        if conversation.tunnel is None:
            return
        text = explanation.format(host=conversation.tunnel[0])
        self.tunnel(conversation, _facts(conversation), Decision("failed", None, text))


def _facts(conversation: Conversation) -> RequestFacts:
    """
    What is known of a connection without a request.
    """
    if conversation.tunnel is None:
        return _PROXY
    host, port = conversation.tunnel
    return RequestFacts(host, method="CONNECT", port=port)
