"""What tests ask of the network log, and what they read when they are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_codex_workspace.network.log import NetworkLog
from pytest_codex_workspace.network.request import Request


def request(number: int = 1, **changes: Any) -> Request:
    """
    A request, by default an ordinary one.
    """
    values: dict[str, Any] = {
        "id": number,
        "time": 1.5,
        "phase": "test",
        "method": "GET",
        "scheme": "https",
        "host": "api.example.org",
        "port": 443,
        "path": "/items?page=2",
        "url": "https://api.example.org/items?page=2",
        "status": 200,
        "size": 12,
        "duration": 0.25,
        "verdict": "allowed",
    }
    return Request(**{**values, **changes})


BLOCKED = request(
    2,
    method="CONNECT",
    host="evil.example",
    path="",
    url="https://evil.example",
    status=403,
    verdict="blocked",
    reason="host-not-allowed",
    explanation="The host is not allowed.",
)
LOOKUP = request(
    3,
    method="DNS",
    scheme="dns",
    host="db.example",
    port=53,
    path="",
    url="dns://db.example",
    status=None,
    size=None,
    duration=None,
    verdict="blocked",
    reason="direct-dns",
)
LOG = NetworkLog(lambda: [request(), BLOCKED, LOOKUP])


@pytest.mark.parametrize(
    ("match", "ids"),
    [
        ({}, [1, 2, 3]),
        ({"host": "api.example.org"}, [1]),
        ({"host": "*.example.org"}, [1]),
        ({"host": "API.example.org."}, [1]),
        ({"host__regex": r"^(api|db)\."}, [1, 3]),
        ({"method": "get"}, [1]),
        ({"path": "/items"}, [1]),
        ({"path": "/items?page=2"}, [1]),
        ({"path": "/items?page=3"}, []),
        ({"path__regex": "page=[0-9]"}, [1]),
        ({"status": 403}, [2]),
        ({"scheme": "dns"}, [3]),
        ({"verdict": "blocked"}, [2, 3]),
        ({"reason": "direct-dns"}, [3]),
        ({"phase": "setup"}, []),
        ({"port": 443, "verdict": "blocked"}, [2]),
        ({"url": "https://evil.example"}, [2]),
        ({"reason": None}, [1, 2, 3]),
    ],
)
def test_requests_by_keyword(match: dict[str, Any], ids: list[int]) -> None:
    """
    All keywords must fit; `None` leaves one open.
    """
    assert ids == [each.id for each in LOG.requests(**match)]


@pytest.mark.parametrize(
    ("match", "error", "words"),
    [
        (
            {"hosts": "x"},
            TypeError,
            "unknown keyword hosts; was 'host' meant.* host, method, path,",
        ),
        ({"status": "200"}, TypeError, "status is a number, not '200'"),
        ({"host": 1}, TypeError, "host is a string"),
        ({"verdict": "block"}, ValueError, "one of allowed, blocked"),
        ({"reason": "http"}, ValueError, "one of plain-http"),
        ({"phase": "run"}, ValueError, "one of setup, resume, test"),
        ({"path__regex": "("}, ValueError, "no regular expression"),
    ],
)
def test_wrong_keywords(match: dict[str, Any], error: type[Exception], words: str) -> None:
    """
    What could never match is an error instead of an empty answer.
    """
    with pytest.raises(error, match=words):
        LOG.requests(**match)


def test_blocked() -> None:
    """
    The blocked ones, oldest first.
    """
    assert LOG.blocked == [BLOCKED, LOOKUP]
    assert len(LOG) == 3
    assert list(LOG)[1] == BLOCKED


def test_assertions_that_hold() -> None:
    """
    None of them raises.
    """
    LOG.assert_requested(host="api.example.org", path="/items")
    LOG.assert_requested(count=2, verdict="blocked")
    LOG.assert_requested(count=0, host="nobody.example")
    LOG.assert_not_requested(host="nobody.example")
    LOG.assert_blocked()
    LOG.assert_blocked("direct-dns", host="db.example")
    LOG.assert_only_hosts("*.example.org", "evil.example", "db.example")
    NetworkLog(list).assert_nothing_blocked()
    NetworkLog(list).assert_only_hosts()


def test_a_missing_request_shows_the_nearest() -> None:
    """
    The matcher, the three nearest requests, and for each what differs.
    """
    log = NetworkLog(
        lambda: [BLOCKED, LOOKUP, request(4, status=404), request(5, host="z.example")]
    )
    with pytest.raises(AssertionError) as caught:
        log.assert_requested(host="api.example.org", path="/items", status=200)

    assert str(caught.value).splitlines() == [
        "expected a request with host='api.example.org' path='/items' status=200, "
        "but none of 4 requests is one",
        "the nearest of the others:",
        "  [test] GET https://api.example.org/items?page=2 200 12 bytes 0.25 s, allowed",
        "      host: expected 'api.example.org', was 'z.example'",
        "  [test] GET https://api.example.org/items?page=2 404 12 bytes 0.25 s, allowed",
        "      status: expected 200, was 404",
        "  [test] DNS dns://db.example, blocked (direct-dns)",
        "      host: expected 'api.example.org', was 'db.example'",
        "      path: expected '/items', was ''",
        "      status: expected 200, was None",
    ]


def test_too_many_requests_are_listed() -> None:
    """
    A wrong count shows the requests that did fit.
    """
    log = NetworkLog(lambda: [request(number) for number in range(12)])
    with pytest.raises(AssertionError) as caught:
        log.assert_requested(count=1, host="api.example.org")

    text = str(caught.value)
    assert "expected 1 request with host='api.example.org', but 12 requests of 12 fit:" in text
    assert text.endswith("... and 2 more")
    assert "nearest" not in text


def test_a_request_that_should_not_be() -> None:
    """
    A blocked one counts as well: it was tried.
    """
    with pytest.raises(AssertionError, match=r"CONNECT https://evil\.example 403"):
        LOG.assert_not_requested(host="evil.example")


def test_nothing_blocked_explains_itself() -> None:
    """
    Each blocked request comes with its explanation.
    """
    with pytest.raises(
        AssertionError, match=r"2 of 3 requests were blocked(?s:.*)is not allowed\."
    ):
        LOG.assert_nothing_blocked()


def test_other_hosts_are_named() -> None:
    """
    The hosts that were not expected come first in the message.
    """
    with pytest.raises(AssertionError, match=r"there were some for db\.example, evil\.example:"):
        LOG.assert_only_hosts("api.example.org")


def test_an_empty_log_says_so() -> None:
    """
    There is no nearest request to show.
    """
    with pytest.raises(
        AssertionError, match=r"expected a request with anything, but there were none$"
    ):
        NetworkLog(list).assert_requested()


def test_every_call_synchronises() -> None:
    """
    A log is never stale.
    """
    calls: list[int] = []
    log = NetworkLog(lambda: [request() for _ in calls] if calls.append(1) is None else [])

    assert [len(log), len(log.requests()), len(log.blocked)] == [1, 2, 0]
    assert repr(log) == "<NetworkLog>"
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("match", "count"),
    [
        ({"status__in": [200, 404]}, 1),
        ({"host__in": ["x.example", "*.example.org"]}, 1),
        ({"method__in": ["post", "put"]}, 0),
        ({"method__regex": "^G"}, 1),
        ({"url__regex": "example"}, 1),
        ({"reason__regex": "x"}, 0),
    ],
)
def test_one_of_several_and_expressions(match: dict[str, Any], count: int) -> None:
    """
    Every keyword takes `__in`, every text `__regex`.
    """
    log = NetworkLog(lambda: [request(host="a.example.org", method="GET", status=200)])

    assert len(log.requests(**match)) == count


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"status__in": 200}, "status__in is a list"),
        ({"host__in": "a"}, "host__in is a list"),
        ({"verdict__in": ["nope"]}, "matches nothing"),
        ({"status__regex": "2.."}, "unknown keyword"),
    ],
)
def test_wrong_lists(match: dict[str, Any], words: str) -> None:
    """
    What could never match is an error.
    """
    with pytest.raises((TypeError, ValueError), match=words):
        NetworkLog(list).requests(**match)


def test_a_list_of_requests_can_be_read() -> None:
    """
    Plain assertions show lines, not fields.
    """
    assert repr([request()]).startswith("[<[test] ")
