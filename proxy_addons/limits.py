"""
How much of the proxy one workspace can take up.
"""

from __future__ import annotations

__all__ = [
    "CONNECTIONS",
    "HEAD_BYTES",
    "HELLO_BYTES",
    "HELLO_RECORDS",
    "SEGMENTS",
    "SILENCE_SECONDS",
]

CONNECTIONS = 512
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
