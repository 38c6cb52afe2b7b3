"""
How much of the proxy one workspace can take up.
"""

from __future__ import annotations

__all__ = [
    "BACKLOG_BYTES",
    "CONNECTIONS",
    "DNS_CONNECTIONS",
    "HEAD_BYTES",
    "HELD_BYTES",
    "HELLO_BYTES",
    "HELLO_RECORDS",
    "INTERIM_ANSWERS",
    "LOOKUPS",
    "MERGED_BYTES",
    "SEGMENTS",
    "SILENCE_SECONDS",
    "STREAMS",
    "WHOLE_BYTES",
    "WINDOW_FROM_CLIENTS",
    "WINDOW_FROM_SERVERS",
]

CONNECTIONS = 256
"""Connections that one workspace may have open. Package managers use about 50."""

HEAD_BYTES = 256 * 1024
"""Bytes in the line and headers of one request. Servers accept 8 to 64 KiB."""

HELLO_BYTES = 32 * 1024
"""Bytes in the first message of TLS. Clients send 200 bytes to 4 KiB."""

HELLO_RECORDS = 64
"""Records that this message may come in. Clients use one, few of them two."""

SEGMENTS = 1024
"""Pieces that the first line of a request may come in; all are looked at with each."""

SILENCE_SECONDS = 60.0
"""Seconds from a connection's last progress to its end, if no request has come."""

HELD_BYTES = 32 << 20
"""
Bytes of requests that are not complete, or not on their way, which the proxy
keeps for one workspace; and as many of answers that it has not taken.
"""

WHOLE_BYTES = 64 * 1024
"""Bytes in the largest request body that is held back until it is complete."""

BACKLOG_BYTES = 256 * 1024
"""Bytes of one message that may wait for the other side before no more are read."""

MERGED_BYTES = 16 * 1024
"""Pieces of a message that have to wait are put together up to this size."""

STREAMS = 64
"""Requests at a time on one HTTP/2 connection."""

WINDOW_FROM_CLIENTS = 256 * 1024
"""Bytes of one request body that an HTTP/2 client may send ahead of the server."""

WINDOW_FROM_SERVERS = 1 << 20
"""Bytes of one answer that an HTTP/2 server may send ahead: more, for it is far away."""

INTERIM_ANSWERS = 100
"""Answers of the kind 1xx before the answer."""

LOOKUPS = 4
"""Names that one workspace may have looked up at a time."""

DNS_CONNECTIONS = 16
"""Connections for look-ups that one workspace may have open. Resolvers use one."""
