"""
How much of the proxy one workspace can take up.
"""

from __future__ import annotations

__all__ = ["CONNECTIONS", "HEAD_BYTES", "SILENCE_SECONDS"]

CONNECTIONS = 512
"""Connections that one workspace may have open. Package managers use about 50."""

HEAD_BYTES = 256 * 1024
"""Bytes in the line and headers of one request. Servers accept 8 to 64 KiB."""

SILENCE_SECONDS = 60.0
"""Seconds from a connection's last progress to its end, if no request has come."""
