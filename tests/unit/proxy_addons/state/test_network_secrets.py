"""Tests of placeholders, and of removing values from responses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from proxy_addons.state.network_secrets import (
    MaskedResponse,
    PlaceholderRule,
    hides,
    rules_for,
    use_rules,
    with_values,
)
from pytest_codex_workspace.network.rules.policy import RequestFacts

RULES = [
    PlaceholderRule(b"P-1", b"abab", ("api.test", "*.sub.test")),
    PlaceholderRule(b"P-2", b"ab", ("api.test",)),
]


@pytest.fixture
def _rules() -> Iterator[None]:
    use_rules(
        {"placeholder": one.placeholder.decode(), "value": one.value.decode(), "hosts": one.hosts}
        for one in RULES
    )
    yield
    use_rules(())


@pytest.mark.usefixtures("_rules")
@pytest.mark.parametrize(
    ("facts", "count"),
    [
        (RequestFacts("api.test"), 2),
        (RequestFacts("a.sub.test"), 1),
        (RequestFacts("sub.test"), 0),
        (RequestFacts("evil.test"), 0),
        (RequestFacts("api.test.evil.test"), 0),
        (RequestFacts("api.test", port=8443), 0),
        (RequestFacts("api.test", scheme="http", port=80, encrypted=False), 0),
        (RequestFacts("api.test", scheme="http", encrypted=False), 0),
        (RequestFacts("api.test", scheme="http"), 0),
        (RequestFacts("api.test", encrypted=False), 0),
    ],
)
def test_only_named_hosts_over_https(facts: RequestFacts, count: int) -> None:
    """
    On port 443, and inside TLS.
    """
    assert len(rules_for(facts)) == count
    use_rules(())
    assert rules_for(facts) == []


def test_values_are_in_a_copy_of_the_request() -> None:
    """
    In header fields that do not say where the request goes, and neither in its path nor its body.
    """
    headers = http.Headers(authorization="Bearer P-1", range="bytes=0-1", te="gzip")
    headers["x-two"] = "P-2,P-2"
    request = http.Request.make("POST", "https://api.test/P-1?q=P-2", b"P-1", headers)
    request.headers["host"] = "P-1.test"
    copy = with_values(request, RULES)

    assert dict(copy.headers)["authorization"] == "Bearer abab"
    assert copy.headers["x-two"] == "ab,ab"
    assert copy.headers["host"] == "P-1.test"
    assert copy.headers["accept-encoding"] == "identity"
    assert "range" not in copy.headers
    assert "te" not in copy.headers
    assert (copy.path, copy.content) == ("/P-1?q=P-2", b"P-1")
    assert request.headers["authorization"] == "Bearer P-1"
    assert with_values(request, RULES[2:]).headers["accept-encoding"] == "identity"
    assert "abab" not in repr(RULES)


@given(
    data=st.text("abc", max_size=40).map(str.encode), cuts=st.lists(st.integers(0, 40), max_size=8)
)
def test_a_value_is_masked_wherever_the_response_is_split(data: bytes, cuts: list[int]) -> None:
    """
    The length stays, and no value is left.
    """
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    stream = MaskedResponse(RULES).body
    passed = b"".join(stream.feed(data[start:stop]) for start, stop in pairwise(at))
    passed += stream.end()

    assert len(passed) == len(data)
    assert b"ab" not in passed
    assert passed.replace(b"*", b"") == data.replace(b"ab", b"")


@pytest.mark.parametrize(
    ("values", "pieces", "expected"),
    [
        (["token", "token-more"], ["a token", "-more."], "a **********."),
        (["oken", "token-more"], ["a token", "-more."], "a **********."),
        (["token-a", "a-more"], ["a token-a-", "more."], "a ************."),
        (["token", "token-more"], ["a token", "-else."], "a *****-else."),
    ],
)
def test_no_part_of_a_value_is_left_beside_another_one(
    values: list[str], pieces: list[str], expected: str
) -> None:
    """
    One value may be the beginning or another part of another one, or overlap with it.
    """
    rules = [PlaceholderRule(b"P", one.encode(), ("api.test",)) for one in values]
    stream = MaskedResponse(rules).body

    passed = b"".join(stream.feed(one.encode()) for one in pieces) + stream.end()

    assert passed.decode() == expected


def test_nothing_is_held_back_without_need() -> None:
    """
    The events of a stream arrive when they are sent.
    """
    stream = MaskedResponse(RULES).body

    assert stream.feed(b"event: x\n\n") == b"event: x\n\n"
    assert stream.feed(b"a") == b""
    assert stream.feed(b"c") == b"ac"


@pytest.mark.parametrize(
    ("status", "headers", "hidden"),
    [
        (200, {}, False),
        (200, {"content-encoding": "identity", "transfer-encoding": "Chunked"}, False),
        (200, {"content-encoding": "gzip"}, True),
        (200, {"content-encoding": "identity, br"}, True),
        (200, {"transfer-encoding": "gzip, chunked"}, True),
        (101, {"upgrade": "websocket"}, True),
    ],
)
def test_a_response_may_hide_a_value(status: int, headers: dict[str, str], hidden: bool) -> None:
    """
    It is compressed in either of two fields, or becomes another protocol.
    """
    response = http.Response.make(status, b"")
    response.headers = http.Headers([(k.encode(), v.encode()) for k, v in headers.items()])

    assert hides(response) is hidden


def test_the_head_of_a_response_is_masked() -> None:
    """
    A server may send back what it got.
    """
    response = http.Response.make(200, b"", {"x-echo": "got abab", "abab": "x"})
    response.reason = "abab"
    MaskedResponse(RULES).mask_head(response)

    assert b"abab" not in b"".join(response.headers.fields[0] + response.headers.fields[1])
    assert response.reason == "****"


@pytest.mark.parametrize(
    "message", [{"placeholder": "", "value": "x"}, {"placeholder": "x", "value": ""}]
)
def test_a_rule_has_both(message: dict[str, str]) -> None:
    """
    Something empty would be everywhere.
    """
    with pytest.raises(ValueError, match="without a placeholder or a value"):
        use_rules([{**message, "hosts": ["a.test"]}])
