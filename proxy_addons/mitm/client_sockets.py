"""
End the connections of clients: at once, cleanly, or with a reset.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from ..state.process_lookup import is_connected

if TYPE_CHECKING:
    from mitmproxy.addons.proxyserver import Proxyserver
    from mitmproxy.connection import Client

__all__ = ["ClientSockets"]


class ClientSockets:
    """
    The sockets of clients, which mitmproxy's server keeps.

    Args:
        server: mitmproxy's own addon.
    """

    def __init__(self, server: Proxyserver) -> None:
        self._server: Any = server

    def reset(self, client: Client) -> None:
        """
        End a connection so that its client sees a reset.
        """
        if writer := self._writer(client):
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def close(self, client: Client) -> None:
        """
        End a connection once everything sent so far has gone out.
        """
        if writer := self._writer(client):
            writer.close()

    def cancel(self, client: Client) -> None:
        """
        End a connection at once, with everything that mitmproxy does for it.
        """
        transport = self._transport(client)
        if transport and transport.handler:
            transport.handler.cancel("released")

    def is_open(self, client: Client) -> bool:
        """
        Check that a connection has been neither reset nor lost.
        """
        writer = self._writer(client)
        return writer is not None and is_connected(writer.transport)

    def _writer(self, client: Client) -> Any:
        transport = self._transport(client)
        return transport and transport.writer

    def _transport(self, client: Client) -> Any:
        handler = self._server.connections.get(client.id)
        return handler and handler.transports.get(handler.client)
