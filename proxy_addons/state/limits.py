"""
Limits on how much of the proxy one workspace can use.
"""

from __future__ import annotations

__all__ = [
    "BACKLOG_BYTES",
    "CLIENT_WINDOW_BYTES",
    "IDLE_SECONDS",
    "LONGEST_PROCESS",
    "MAX_BUFFERED_BYTES",
    "MAX_CONNECTIONS",
    "MAX_DNS_CONNECTIONS",
    "MAX_FIRST_LINE_SEGMENTS",
    "MAX_HEAD_BYTES",
    "MAX_HELLO_BYTES",
    "MAX_HELLO_RECORDS",
    "MAX_IDLE_FRAMES",
    "MAX_INTERIM_RESPONSES",
    "MAX_LOOKUPS",
    "MAX_PROCESS_LOOKUPS",
    "MAX_STREAMS",
    "MAX_STUB_CALLS",
    "MAX_STUB_REQUEST_BYTES",
    "MAX_TLS_CLIENTS",
    "MAX_WHOLE_BODY_BYTES",
    "MERGED_BYTES",
    "PROCESS_LOOKUPS_PER_SECOND",
    "PROCESS_LOOKUP_SECONDS",
    "SERVER_WINDOW_BYTES",
    "STUB_SECONDS",
]

MAX_CONNECTIONS = 256
"""Open connections of one workspace. Package managers use about 50."""

MAX_HEAD_BYTES = 256 * 1024
"""Bytes in the first line and header fields of a message. Servers accept 8 to 64 KiB."""

MAX_HELLO_BYTES = 32 * 1024
"""Bytes in a TLS ClientHello. Clients send 200 bytes to 4 KiB."""

MAX_HELLO_RECORDS = 64
"""TLS records that carry one ClientHello. Clients use one, a few clients two."""

MAX_FIRST_LINE_SEGMENTS = 1024
"""Segments that carry the first line of a request. Each segment means a look at all of them."""

IDLE_SECONDS = 60.0
"""Seconds without progress after which a connection without a request is closed."""

MAX_BUFFERED_BYTES = 32 << 20
"""
Bytes of requests that the proxy keeps in memory for one workspace, because they are incomplete or
cannot be sent on yet; and the same again for responses that the workspace has not read.
"""

MAX_WHOLE_BODY_BYTES = 64 * 1024
"""Bytes in the largest request body that is collected whole before it is sent on."""

BACKLOG_BYTES = 256 * 1024
"""Bytes of one message that may wait for the other side before the proxy stops reading."""

MERGED_BYTES = 16 * 1024
"""Bytes up to which waiting pieces of a message are merged into one."""

MAX_STREAMS = 64
"""Concurrent requests on one HTTP/2 connection."""

MAX_IDLE_FRAMES = 1000
"""
HTTP/2 frames in a row that carry neither a head nor data: settings, pings, priorities, windows,
resets and empty pieces. Each piece of data allows a few more.
"""

CLIENT_WINDOW_BYTES = 256 * 1024
"""Bytes of one request body that an HTTP/2 client may send ahead of the server."""

SERVER_WINDOW_BYTES = 1 << 20
"""Bytes of one response that an HTTP/2 server may send ahead: more, because it is far away."""

MAX_INTERIM_RESPONSES = 100
"""Interim (1xx) responses before the final one."""

MAX_LOOKUPS = 4
"""Concurrent name look-ups of one workspace."""

MAX_DNS_CONNECTIONS = 16
"""Open connections of one workspace to the resolver. Clients use one."""

PROCESS_LOOKUP_SECONDS = 1.0
"""Seconds that a refusal is held at most, to find out which process it is for."""

MAX_PROCESS_LOOKUPS = 16
"""Refusals of one workspace that are held at once; the process of others is not known."""

PROCESS_LOOKUPS_PER_SECOND = 50.0
"""Refusals of one workspace that are held in a second."""

LONGEST_PROCESS = 1000
"""Characters that name a process and its ancestors."""

MAX_STUB_REQUEST_BYTES = 512 * 1024
"""
Bytes of a request body that a stub may look at, or its function gets: as Base64, with a head, they
fit into one line to the host.
"""

STUB_SECONDS = 30.0
"""Seconds that a request waits for the function of its stub."""

MAX_STUB_CALLS = 16
"""Requests of one workspace that wait for functions of its stubs."""

MAX_TLS_CLIENTS = 256
"""Kinds of TLS clients of one workspace, and their targets, that are told apart."""
