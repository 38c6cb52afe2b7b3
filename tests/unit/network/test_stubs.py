"""Tests of the arguments of stubs and faults, and of the requests that they match."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.network.matching import Matcher
from pytest_codex_workspace.network.stubs import (
    BODY_LIMIT,
    REQUEST_LIMIT,
    Route,
    StubFunction,
    StubRequest,
    StubResponse,
    fault_fields,
    stub_fields,
)


@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        ({"json": {"a": None}}, b'{"a": null}', "application/json"),
        ({"json": None}, b"null", "application/json"),
        ({"text": "\xfc"}, b"\xc3\xbc", "text/plain; charset=utf-8"),
        ({"content": b"\0"}, b"\0", None),
        ({}, b"", None),
        ({"text": "x", "headers": {"Content-Type": "text/css"}}, b"x", "text/css"),
    ],
)
def test_each_kind_of_body_gets_its_content_type(
    given: dict[str, Any], body: bytes, kind: str | None
) -> None:
    """
    A JSON or text body gets its content type, unless the test gives another one.
    """
    _, fields = stub_fields(host="a.test", **given)

    [response] = fields["responses"]
    assert base64.b64decode(response["body"]) == body
    types = [value for name, value in response["headers"] if name.lower() == "content-type"]
    assert types == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, TypeError, "needs a filter"),
        ({"host": "a", "text": "x", "json": 1}, TypeError, "only one body; json and text"),
        ({"host": "a", "status": 99}, ValueError, "status=99"),
        ({"host": "a", "status": True}, ValueError, "status=True"),
        ({"host": "a", "content": "x"}, TypeError, "for a string, use text"),
        ({"host": "a", "text": b"x"}, TypeError, "text must be a string"),
        ({"host": "a", "content": bytes(BODY_LIMIT + 1)}, ValueError, "more than the limit"),
        ({"host": "a", "headers": {"A b": "c"}}, ValueError, "not a valid header name"),
        ({"host": "a", "headers": {"A": "b\r\nC: d"}}, ValueError, "one line of text"),
        ({"host": "a", "headers": {"A\r\nB": "c"}}, ValueError, "not a valid header name"),
        ({"host": "a", "headers": {":status": "200"}}, ValueError, "not a valid header name"),
        ({"host": "a", "headers": {"A": "\N{GRINNING FACE}"}}, ValueError, "one line of text"),
        ({"host": "a", "headers": {"Transfer-Encoding": "chunked"}}, ValueError, "the proxy sets"),
        ({"host": "a", "headers": {"A": "b" * 70_000}}, ValueError, "more than the limit"),
        ({"host": "a", "headers": [("A", "b")]}, TypeError, "a mapping of names to values"),
        ({"host": "a", "json": float("inf")}, ValueError, "not JSON"),
        ({"host": "a", "status": 101}, ValueError, "from 200 to 599"),
        ({"host": "a", "status": 10**300}, ValueError, "from 200 to 599"),
        ({"host": 7}, TypeError, "host must be a string"),
        ({"path__regex": "("}, ValueError, "not a valid regular expression"),
        ({"url": "x"}, TypeError, "a stub does not take 'url'"),
        ({"host": "a", "text": "x", "json": None}, TypeError, "only one body; json and text"),
        ({"host": "a", "respond": [], "match_query": {}}, TypeError, "a list of StubResponse"),
        ({"host": "a", "respond": [{}]}, TypeError, "{} is none"),
        ({"host": "a", "respond": print, "status": 201}, TypeError, "no response besides it"),
        ({"match_query": [("a", "b")]}, TypeError, "match_query must be a mapping"),
        ({"match_query": {"a": 1}}, TypeError, r"match_query\['a'\] must be a string or a list"),
        ({"match_headers": {"a": 1}}, TypeError, r"match_headers\['a'\] must be a string"),
        ({"match_content": 1}, TypeError, "must be text or bytes"),
        ({"match_content": "", "match_json": 1}, TypeError, "not both"),
        ({"match_content": bytes(REQUEST_LIMIT + 1)}, ValueError, "more than the limit"),
    ],
)
def test_invalid_stubs_are_rejected(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    """
    The host rejects an invalid stub before anything is sent to the proxy.
    """
    with pytest.raises(error, match=message):
        stub_fields(**given)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"kind": "slow"}, ValueError, "the kinds are latency, reset"),
        ({"kind": "latency"}, TypeError, "needs seconds="),
        ({"kind": "latency", "seconds": -1}, TypeError, "a positive number"),
        ({"kind": "latency", "seconds": float("nan")}, TypeError, "a positive number"),
        ({"kind": "latency", "seconds": float("inf")}, ValueError, "longer than the limit"),
        ({"kind": "latency", "seconds": 10**400}, ValueError, "longer than the limit"),
        ({"kind": "latency", "seconds": True}, TypeError, "a positive number"),
        ({"kind": "status", "status": 10**300}, ValueError, "from 400 to 599"),
        ({"kind": "truncate", "after": 10**300}, ValueError, "number of bytes"),
        ({"kind": "truncate", "after": True}, ValueError, "number of bytes"),
        ({"kind": "reset", "times": 10**300}, ValueError, "positive number of requests"),
        ({"kind": "reset", "seconds": 1}, TypeError, "it takes no such keywords"),
        ({"kind": "status", "after": 1}, TypeError, "it takes only status"),
        ({"kind": "status", "status": 200}, ValueError, "from 400 to 599"),
        ({"kind": "truncate", "after": -1}, ValueError, "number of bytes"),
        ({"kind": "reset", "times": 0}, ValueError, "positive number of requests"),
    ],
)
def test_invalid_faults_are_rejected(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    """
    Each kind of fault takes only its own keyword, with a valid value.
    """
    with pytest.raises(error, match=message):
        fault_fields(host="a.test", **given)


ASKED = {
    "method": "POST",
    "scheme": "https",
    "host": "a.test",
    "port": 443,
    "path": "/p",
    "headers": [["X-A", "1"], ["x-a", "2"]],
    "body": base64.b64encode(b'{"n": 1}').decode(),
}


def test_a_function_gets_the_request_and_makes_the_response() -> None:
    """
    Both are plain data for the test.
    """

    def respond(request: StubRequest) -> StubResponse:
        assert ("POST", "1, 2", None) == (
            request.method,
            request.header("X-a"),
            request.header("none"),
        )
        return StubResponse(201, json={"got": request.json()["n"]}, headers={"A": request.path})

    answer = StubFunction(respond).answer(ASKED)

    assert base64.b64decode(answer.pop("body")) == b'{"got": 1}'
    assert answer == {
        "status": 201,
        "headers": [("A", "/p"), ("content-type", "application/json")],
    }


def test_an_error_of_a_function_is_kept_and_not_told_to_the_workspace() -> None:
    """
    Something else than a response is an error, too. So is a question without sense.
    """

    def fail(_: StubRequest) -> StubResponse:
        raise ValueError("a path of this machine")

    failing, wrong = StubFunction(fail), StubFunction(lambda _: 200)  # type: ignore[arg-type]

    assert failing.answer(ASKED) == {"error": "it raised ValueError (`Route.errors` has it)"}
    assert [str(error) for error in failing.errors] == ["a path of this machine"]
    assert "TypeError" in wrong.answer(ASKED)["error"]
    assert "must return a StubResponse, not 200" in str(wrong.errors[0])
    for nonsense in ({"method": 1}, {"headers": 2}, {"body": "?"}):
        with pytest.raises(ValueError, match=r"a request that|not Base64"):
            failing.answer({**ASKED, **nonsense})


def test_a_route_is_removed_at_the_end_of_its_block() -> None:
    """
    An error of the block says more than one of the removal.
    """

    def remove(number: int) -> None:
        removed.append(number)
        raise WorkspaceLost("gone")

    removed: list[int] = []
    route = Route(7, Matcher(host="a"), list, remove)

    with pytest.raises(KeyError), route:
        raise KeyError
    with pytest.raises(WorkspaceLost), route:
        pass
    assert removed == [7, 7]
