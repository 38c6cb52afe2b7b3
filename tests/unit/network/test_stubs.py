"""Tests of the arguments of stubs and faults, and of the requests that they match."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pytest_codex_workspace.network.stubs import BODY_LIMIT, fault_fields, stub_fields


@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        ({"json": {"a": None}}, b'{"a": null}', "application/json"),
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

    assert base64.b64decode(fields["body"]) == body
    types = [value for name, value in fields["headers"] if name.lower() == "content-type"]
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
