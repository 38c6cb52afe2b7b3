"""Which requests a stub or a fault applies to."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy.test import tflow

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
