"""Requests that have only one meaning."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import http

from proxy_addons.judge.wellformed import is_wellformed


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"path": b"/a?b=%20#c"}, True),
        ({"path": b"/\xc3\xa9"}, True),
        ({"method": b"PROPFIND"}, True),
        ({"method": b"OPTIONS", "path": b"*"}, True),
        ({"path": b"*"}, False),
        ({"path": b""}, False),
        ({"path": b"a"}, False),
        ({"path": b"http://example.org/"}, False),
        ({"path": b"/a b"}, False),
        ({"path": b"/a\r\nX: y"}, False),
        ({"method": b""}, False),
        ({"method": b"GET /x"}, False),
        ({"method": b"G\xc3\x8bT"}, False),
        ({"headers": [(b"X-A", b"b c\t")]}, True),
        ({"headers": [(b"X A", b"b")]}, False),
        ({"headers": [(b"", b"b")]}, False),
        ({"headers": [(b"X-A", b"b\r\nX-C: d")]}, False),
        ({"headers": [(b"X-A", b"b\0")]}, False),
    ],
)
def test_a_request_is_well_formed_or_refused(fields: dict[str, Any], expected: bool) -> None:
    """
    A server must read a request exactly as it was judged.
    """
    given = {"method": b"GET", "path": b"/", "headers": [], **fields}
    request = http.Request.make("GET", "https://example.org/", headers=given["headers"])
    request.data.method, request.data.path = given["method"], given["path"]

    assert is_wellformed(request) is expected
