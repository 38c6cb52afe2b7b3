"""Tests of the filters that select requests."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.network.matching import Matcher, describe_differences, nearest

from .rules.test_request import request


def test_a_matcher_shows_its_filters() -> None:
    """
    The text has the filters as they were written; without filters, it says so.
    """
    assert str(Matcher(host="example.org", status=200)) == "host='example.org' status=200"
    assert str(Matcher(host=None)) == "anything"


def test_each_difference_is_a_line() -> None:
    """
    A line names the filter, the expected value and the actual value.
    """
    matcher = Matcher(host="example.org", method="POST", status__in=[200, 204])

    assert matcher.differences(request(status=404)) == [
        "method: expected 'POST', was 'GET'",
        "status__in: expected [200, 204], was 404",
    ]
    assert matcher.differences(request(method="POST", status=204)) == []


def test_the_nearest_requests_come_first() -> None:
    """
    Requests with fewer differences come first, then newer ones.
    """
    requests = [
        request(id=1, host="a.test", method="POST"),
        request(id=2, host="a.test"),
        request(id=3, host="a.test"),
        request(id=4, host="b.test", method="PUT"),
    ]

    found = nearest(Matcher(host="a.test", method="POST"), requests)

    assert [each.id for each in found] == [1, 3, 2]
    assert [each.id for each in nearest(Matcher(), requests, count=1)] == [4]


def test_a_description_shows_requests_with_their_differences() -> None:
    """
    The differences are indented below each request.
    """
    text = describe_differences(Matcher(host="a.test"), [request(host="b.test")])

    assert text == (
        "  [test] GET https://example.org/, allowed\n      host: expected 'a.test', was 'b.test'"
    )
    assert describe_differences(Matcher(), []) == ""


@pytest.mark.parametrize("keyword", ["host", "method", "path", "url", "reason", "verdict"])
def test_an_expression_matches_an_absent_value_as_empty(keyword: str) -> None:
    """
    A regular expression is searched for in the empty string if a request lacks the value.
    """
    values = {"host": "", "method": "", "path": "", "url": "", "verdict": "", "reason": None}

    assert Matcher(**{f"{keyword}__regex": "^$"}).matches(request(**{keyword: values[keyword]}))
