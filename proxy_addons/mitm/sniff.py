"""
Recognise TLS and HTTP by their first bytes.

Each function returns `True` (recognised), `False` (something else) or `None` (more
bytes are needed), however the bytes were split into segments.
"""

from __future__ import annotations

import re

__all__ = ["is_http1", "is_http2", "is_tls"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LONGEST_LINE = 64 * 1024
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_LINE = re.compile(_TOKEN + rb"{1,32} [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r?\n")
_START = re.compile(_TOKEN + rb"{1,32}(?: (?:[\x21-\x7e\x80-\xff]+(?: [HTP/1.0]{0,8}\r?)?)?)?")


def is_tls(data: bytes) -> bool | None:
    """
    Check whether *data* starts a TLS handshake: a handshake record with a ClientHello.
    """
    any_byte = range(256)
    pattern = (range(0x16, 0x17), range(3, 4), range(5), any_byte, any_byte, range(1, 2))
    if any(byte not in allowed for byte, allowed in zip(data, pattern, strict=False)):
        return False
    return True if len(data) >= len(pattern) else None


def is_http1(data: bytes) -> bool | None:
    """
    Check whether *data* starts an HTTP/1.0 or HTTP/1.1 request.
    """
    line, newline, _ = data.partition(b"\n")
    if newline:
        return _LINE.fullmatch(line + newline) is not None
    if len(data) > _LONGEST_LINE or not _START.fullmatch(data):
        return None if not data else False
    return None


def is_http2(data: bytes) -> bool | None:
    """
    Check whether *data* starts with the preface of HTTP/2.
    """
    if data[: len(_PREFACE)] != _PREFACE[: len(data)]:
        return False
    return True if len(data) >= len(_PREFACE) else None
