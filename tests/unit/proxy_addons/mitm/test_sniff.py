"""Recognising TLS and HTTP by their first bytes."""

from __future__ import annotations

from typing import Any

import pytest

from proxy_addons.mitm.sniff import is_http1, is_http2, is_tls

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize(
    ("recognise", "data", "answer"),
    [
        (is_tls, b"", None),
        (is_tls, b"\x16", None),
        (is_tls, b"\x16\x03", None),
        (is_tls, b"\x16\x03\x01", None),
        (is_tls, b"\x16\x03\x01\x02\x00", None),
        (is_tls, b"\x16\x03\x01\x02\x00\x01", True),
        (is_tls, b"\x16\x03\x01\x02\x00\x0e", False),
        (is_tls, b"\x16\x04", False),
        (is_tls, b"S", False),
        (is_tls, b"SSH-2.0", False),
        (is_tls, b"GET / HTTP/1.1\r\n", False),
        (is_http1, b"", None),
        (is_http1, b"GE", None),
        (is_http1, b"GET ", None),
        (is_http1, b"GET /a", None),
        (is_http1, b"GET /a HTTP/1.1\r", None),
        (is_http1, b"GET /a HTTP/1.1\r\n", True),
        (is_http1, b"OPTIONS * HTTP/1.0\nHost: x\r\n", True),
        (is_http1, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (is_http1, b"GET /a\r\n", False),
        (is_http1, b"GET  /a HTTP/1.1\r\n", False),
        (is_http1, b"GET /a b HTTP/1.1\r\n", False),
        (is_http1, b"GET /a HTTP/2.0\r\n", False),
        (is_http1, b"PRI * HTTP/2.0\r\n", False),
        (is_http1, b"SSH-2.0-x\r\n", False),
        (is_http1, b"\x00\x01", False),
        (is_http1, b"EHLO me\r\n", False),
        (is_http1, b"A" * 40, False),
        (is_http1, b"GET /" + b"a" * 70000, False),
        (is_http2, b"", None),
        (is_http2, PREFACE[:10], None),
        (is_http2, PREFACE + b"x", True),
        (is_http2, b"GET / HTTP/1.1\r\n", False),
    ],
)
def test_first_bytes_are_recognised_or_refused(
    recognise: Any, data: bytes, answer: bool | None
) -> None:
    """
    More bytes are awaited only as long as they can still be recognised.
    """
    assert recognise(data) is answer


@pytest.mark.parametrize(
    ("recognise", "data"),
    [(is_tls, b"\x16\x03\x01\x00"), (is_http1, b"GET /a HTTP/1.1\r\n"), (is_http2, PREFACE)],
)
def test_segments_do_not_matter(recognise: Any, data: bytes) -> None:
    """
    No prefix of a valid beginning is refused.
    """
    assert False not in [recognise(data[:end]) for end in range(len(data) + 1)]
