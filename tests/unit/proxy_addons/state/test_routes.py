"""Which requests a stub or a fault applies to."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from mitmproxy.test import tflow

from proxy_addons.state.limits import MAX_STUB_REQUEST_BYTES
from proxy_addons.state.routes import ProxyRoute


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        ({"host": "a.test"}, True),
        ({"host": "b.test"}, False),
        ({"host": "*.test"}, True),
        ({"path": "/p"}, True),
        ({"path": "/p?q=1"}, True),
        ({"path": "/p?q=2"}, False),
        ({"path_regex": "^/p"}, True),
        ({"path_regex": "^/q"}, False),
        ({"method": "GET"}, True),
        ({"method": "POST"}, False),
        ({"host": "a.test", "times": 0}, False),
        ({"query": {"q": ["1"]}}, True),
        ({"query": {"q": ["2"]}}, False),
        ({"query": {"q": ["1", "1"]}}, False),
        ({"query": {"other": ["1"]}}, False),
        ({"fields": {"header": "qvalue"}}, True),
        ({"fields": {"header": "other"}}, False),
        ({"fields": {"none": ""}}, False),
    ],
)
def test_a_route_matches_by_all_of_its_filters(route: dict[str, Any], matches: bool) -> None:
    """
    A filter that is not given matches every request.
    """
    request = tflow.tflow().request
    request.path, request.method = "/p?q=1", "GET"

    assert (
        ProxyRoute.from_message({"id": 1, "kind": "stub", **route}).matches(request, "a.test")
        == matches
    )


@pytest.mark.parametrize(
    ("route", "body", "matches"),
    [
        ({}, b"x", True),
        ({"content": "eA=="}, b"x", True),
        ({"content": "eA=="}, b"xx", False),
        ({"content": ""}, b"", True),
        ({"json": {"is": {"a": [1, None]}}}, b' {"a": [1, null]}', True),
        ({"json": {"is": None}}, b"null", True),
        ({"json": {"is": None}}, b"", False),
        ({"json": {"is": 1}}, b"[" * 100_000, False),
        ({"json": {"is": 1}}, b"\xff", False),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_matches_as_the_server_would_see_it(
    route: dict[str, Any], body: bytes, matches: bool, encoding: str
) -> None:
    """
    Decompressed. What is no JSON, or cannot be decompressed, matches no data.
    """
    request = tflow.tflow().request
    request.headers["content-encoding"] = encoding
    request.content = body
    found = ProxyRoute.from_message({"id": 1, "kind": "stub", **route})

    assert found.matches_body(request) == matches
    if found.needs_body:
        request.raw_content = b"\x1f\x8bno"
        request.headers["content-encoding"] = "gzip"
        assert not found.matches_body(request)


def test_a_small_body_that_decompresses_to_a_large_one_matches_nothing() -> None:
    """
    A zip bomb is decompressed as far as it takes to see that it is too long.
    """
    request = tflow.tflow().request
    request.headers["content-encoding"] = "gzip"
    request.raw_content = gzip.compress(b" " * MAX_STUB_REQUEST_BYTES + b"1")

    assert not ProxyRoute.from_message({"id": 1, "kind": "stub", "json": {"is": 1}}).matches_body(
        request
    )


def test_a_long_body_matches_no_content_and_reaches_functions() -> None:
    """
    Only a function must be told that it is too long.
    """
    request = tflow.tflow().request
    request.headers["content-length"] = str(MAX_STUB_REQUEST_BYTES + 1)
    one = {"id": 1, "kind": "stub"}

    assert not ProxyRoute.from_message({**one, "json": {"is": 1}}).matches(request, "a.test")
    assert ProxyRoute.from_message({**one, "asks": True}).matches(request, "a.test")
    both = {**one, "asks": True, "content": ""}
    assert not ProxyRoute.from_message(both).matches(request, "a.test")


def test_responses_come_in_order_and_the_last_one_stays() -> None:
    """
    Each use counts.
    """
    made = [{"status": status, "headers": [], "body": ""} for status in (503, 200)]
    route = ProxyRoute.from_message({"id": 1, "kind": "stub", "responses": made})

    found = []
    for _ in range(3):
        route.use()
        found.append(route.response("GET").status_code)

    assert found == [503, 200, 200]
