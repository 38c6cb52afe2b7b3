"""Tests of the network log: filters, assertions, and the messages of failed assertions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_codex_workspace.network.log import LiveNetwork, NetworkLog
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.network.stubs import StubResponse


def request(number: int = 1, **changes: Any) -> Request:
    """
    Return an ordinary allowed request, with *changes*.
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
def test_requests_match_all_filters(match: dict[str, Any], ids: list[int]) -> None:
    """
    A request must match all filters; the value `None` matches everything.
    """
    assert ids == [each.id for each in LOG.requests(**match)]


@pytest.mark.parametrize(
    ("match", "error", "message"),
    [
        (
            {"hosts": "x"},
            TypeError,
            r"Unknown filter 'hosts' \(did you mean 'host'\?\)\. Filters: host, method, path,",
        ),
        ({"status": "200"}, TypeError, "status must be a number, not '200'"),
        ({"host": 1}, TypeError, "host must be a string"),
        ({"verdict": "block"}, ValueError, "one of allowed, blocked"),
        ({"reason": "http"}, ValueError, "one of plain-http"),
        ({"phase": "run"}, ValueError, "one of setup, resume, test"),
        ({"path__regex": "("}, ValueError, "not a valid regular expression"),
    ],
)
def test_invalid_filters_are_errors(
    match: dict[str, Any], error: type[Exception], message: str
) -> None:
    """
    A filter that can never match is an error instead of an empty result.
    """
    with pytest.raises(error, match=message):
        LOG.requests(**match)


def test_blocked_requests_are_listed() -> None:
    """
    `blocked` returns the blocked requests, oldest first.
    """
    assert LOG.blocked == [BLOCKED, LOOKUP]
    assert len(LOG) == 3
    assert list(LOG)[1] == BLOCKED


def test_true_assertions_pass() -> None:
    """
    No assertion raises if the log is as expected.
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
    The message shows the filters, the three nearest requests, and their differences.
    """
    log = NetworkLog(
        lambda: [BLOCKED, LOOKUP, request(4, status=404), request(5, host="z.example")]
    )
    with pytest.raises(AssertionError) as caught:
        log.assert_requested(host="api.example.org", path="/items", status=200)

    assert str(caught.value).splitlines() == [
        "expected a request with host='api.example.org' path='/items' status=200, "
        "but none of 4 requests matches",
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
    If the count is wrong, the message lists the requests that match.
    """
    log = NetworkLog(lambda: [request(number) for number in range(12)])
    with pytest.raises(AssertionError) as caught:
        log.assert_requested(count=1, host="api.example.org")

    text = str(caught.value)
    assert "expected 1 request with host='api.example.org', but 12 of 12 requests match:" in text
    assert text.endswith("... and 2 more")
    assert "nearest" not in text


def test_a_blocked_request_counts_as_requested() -> None:
    """
    `assert_not_requested` fails for a blocked request as well.
    """
    with pytest.raises(AssertionError, match=r"CONNECT https://evil\.example 403"):
        LOG.assert_not_requested(host="evil.example")


def test_blocked_requests_are_explained() -> None:
    """
    `assert_nothing_blocked` shows each blocked request with its explanation.
    """
    with pytest.raises(
        AssertionError, match=r"2 of 3 requests were blocked(?s:.*)is not allowed\."
    ):
        LOG.assert_nothing_blocked()


def test_blocked_requests_are_shown_with_their_process() -> None:
    """
    If it is known.
    """
    (blocked,) = LOG.requests(host="evil.example")
    for process, shown in (("sh › curl x", "\n      asked by: sh › curl x"), ("", "not allowed.")):
        log = NetworkLog(lambda process=process: [replace(blocked, process=process)])
        with pytest.raises(AssertionError) as caught:
            log.assert_nothing_blocked()
        assert str(caught.value).endswith(shown)


def test_one_request_is_in_the_singular() -> None:
    """
    In each assertion that counts.
    """
    (blocked,) = LOG.requests(host="evil.example")
    log = NetworkLog(lambda: [blocked])

    with pytest.raises(AssertionError, match="1 of 1 request was blocked:"):
        log.assert_nothing_blocked()
    with pytest.raises(AssertionError, match=r"but 1 request went to evil\.example:"):
        log.assert_only_hosts("api.example.org")
    with pytest.raises(AssertionError, match="1 of 1 request matches:"):
        log.assert_not_requested(host="evil.example")


def test_unexpected_hosts_are_named() -> None:
    """
    `assert_only_hosts` names the hosts that were not expected.
    """
    with pytest.raises(AssertionError, match=r"requests went to db\.example, evil\.example:"):
        LOG.assert_only_hosts("api.example.org")


def test_expected_hosts_without_any_request_are_an_error() -> None:
    """
    What should have made a request may not have run.
    """
    with pytest.raises(AssertionError, match=r"requests to a\.example, and .* there were none"):
        NetworkLog(list).assert_only_hosts("a.example")


def test_an_empty_log_is_reported_as_empty() -> None:
    """
    Without any request, the message does not show a nearest one.
    """
    with pytest.raises(
        AssertionError, match=r"expected a request with anything, but there were none$"
    ):
        NetworkLog(list).assert_requested()


def test_every_call_synchronises() -> None:
    """
    Every access waits for the current requests, so the log is never stale.
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
def test_filters_take_lists_and_expressions(match: dict[str, Any], count: int) -> None:
    """
    Every filter takes `__in`, and every text filter takes `__regex`.
    """
    log = NetworkLog(lambda: [request(host="a.example.org", method="GET", status=200)])

    assert len(log.requests(**match)) == count


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"status__in": 200}, "status__in must be a list"),
        ({"host__in": "a"}, "host__in must be a list"),
        ({"verdict__in": ["nope"]}, "matches nothing"),
        ({"status__regex": "2.."}, "Unknown filter 'status__regex'"),
    ],
)
def test_invalid_lists_are_errors(match: dict[str, Any], message: str) -> None:
    """
    A list filter that can never match is an error.
    """
    with pytest.raises((TypeError, ValueError), match=message):
        NetworkLog(list).requests(**match)


def test_requests_have_a_readable_repr() -> None:
    """
    A plain assertion shows each request as a line, not as fields.
    """
    assert repr([request()]).startswith("[<[test] ")


class FakeProxy:
    """
    Takes routes, and keeps those that were not removed.
    """

    def __init__(self) -> None:
        self.routes: dict[int, dict[str, Any]] = {}
        self.answers: dict[int, Any] = {}

    def add_route(self, address: str, route: Any, workspace: Any, answer: Any = None) -> int:
        number = len(self.answers) + 1
        self.routes[number], self.answers[number] = route, answer
        return number

    def remove_route(self, address: str, number: int, workspace: Any) -> None:
        del self.routes[number]


def live_log(*found: Request) -> tuple[NetworkLog, FakeProxy, list[object]]:
    """
    Return a log with *found* requests, its proxy, and the policies that were applied to it.
    """
    proxy, used = FakeProxy(), ["first"]

    def use(policy: Any) -> Any:
        used.append(policy)
        return used[-2]

    live = LiveNetwork(proxy, "10.0.0.2", lambda policy: policy, policy=lambda: used[-1], use=use)
    return NetworkLog(lambda: list(found), live), proxy, used


def test_removed_routes_are_not_demanded() -> None:
    """
    At the end of a block, a stub and a fault are removed.
    """
    log, proxy, _ = live_log()
    log.stub(host="a.example").remove()
    with log.stub(host="b.example"), log.fault(kind="reset", host="b.example"):
        assert len(proxy.routes) == 2

    log.assert_all_called()
    assert proxy.routes == {}


def test_unused_faults_are_demanded() -> None:
    """
    The message says what a request must have that the log does not show.
    """
    log, _, _ = live_log(replace(request(1), routes=(1,)))
    log.stub(host="api.example.org")
    log.assert_all_called()
    log.fault(kind="reset", host="f.example")
    log.stub(host="api.example.org", match_json={"a": None}, match_headers={"x": "y"})

    with pytest.raises(AssertionError) as caught:
        log.assert_all_called()

    assert str(caught.value).splitlines()[:2] == [
        "2 of 3 stubs and faults never handled a request; the nearest requests are below each:",
        "  <Route host='f.example'>",
    ]
    assert "<Route host='api.example.org' match_headers={'x': 'y'} match_json={'a': None}>" in str(
        caught.value
    )


def test_an_error_of_a_function_fails_the_assertion() -> None:
    """
    Its cause is the error.
    """
    log, proxy, _ = live_log(replace(request(1), routes=(1,)))

    def respond(_: object) -> StubResponse:
        raise KeyError("id")

    log.stub(host="api.example.org", respond=respond)
    assert proxy.routes[1]["asks"] is True
    proxy.answers[1](
        {
            "method": "GET",
            "scheme": "https",
            "host": "h",
            "port": 1,
            "path": "/",
            "headers": [],
            "body": "",
        }
    )

    with pytest.raises(AssertionError, match="raised an error 1 time, first KeyError: 'id'") as one:
        log.assert_all_called()
    assert isinstance(one.value.__cause__, KeyError)


def test_a_policy_ends_with_its_block() -> None:
    """
    Without a block, it stays.
    """
    log, _, used = live_log()

    log.use("stays")
    with log.use("offline"):
        assert used[-1] == "offline"

    assert used == ["first", "stays", "offline", "stays"]


def test_a_part_has_its_own_requests_stubs_and_policy() -> None:
    """
    What was requested before is in `since_start` only. What was made in the part ends with it, and
    what was made before stays.
    """
    found = [request(1), request(2)]
    proxy, used = FakeProxy(), ["first"]
    live = LiveNetwork(
        proxy, "10.0.0.2", lambda policy: policy, policy=lambda: used[-1], use=used.append
    )
    log = NetworkLog(lambda: list(found), live)
    log.stub(host="before.example")

    log.begin_part()
    assert list(log) == []
    # Nobody asks for the stubs of others.
    log.assert_all_called()
    # One that was under way is of the part before, whenever it ends.
    found[:] = [request(3), *found]
    assert [one.id for one in log] == [3]
    assert [one.id for one in log.since_start] == [3, 1, 2]
    log.stub(host="in.example").remove()
    log.stub(host="in.example")
    log.fault(kind="reset", host="in.example")
    log.use("second")
    log.end_part()

    assert list(proxy.routes) == [1]
    assert used == ["first", "second", "first"]
    log.begin_part()
    log.end_part()
    assert used == ["first", "second", "first"]
