"""What a stub or a fault may be, and which requests it is for."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pytest_codex_workspace.network.routes import BODY_LIMIT, fault_fields, stub_fields


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
def test_bodies(given: dict[str, Any], body: bytes, kind: str | None) -> None:
    """
    Each kind of body has its type, unless the test gives another.
    """
    _, fields = stub_fields(host="a.test", **given)

    assert base64.b64decode(fields["body"]) == body
    types = [value for name, value in fields["headers"] if name.lower() == "content-type"]
    assert types == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, TypeError, "name at least one"),
        ({"host": "a", "text": "x", "json": 1}, TypeError, "one body, not json and text"),
        ({"host": "a", "status": 99}, ValueError, "status=99"),
        ({"host": "a", "status": True}, ValueError, "status=True"),
        ({"host": "a", "content": "x"}, TypeError, "for a string use text"),
        ({"host": "a", "text": b"x"}, TypeError, "text is a string"),
        ({"host": "a", "content": bytes(BODY_LIMIT + 1)}, ValueError, "at most"),
        ({"host": "a", "headers": {"A b": "c"}}, ValueError, "name of a header"),
        ({"host": "a", "headers": {"A": "b\r\nC: d"}}, ValueError, "one line of text"),
        ({"host": 7}, TypeError, "host is a string"),
        ({"path__regex": "("}, ValueError, "no regular expression"),
        ({"url": "x"}, TypeError, "a stub has no 'url'"),
    ],
)
def test_wrong_stubs(given: dict[str, Any], error: type[Exception], words: str) -> None:
    """
    The complaint is the host's, before anything is sent.
    """
    with pytest.raises(error, match=words):
        stub_fields(**given)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"kind": "slow"}, ValueError, "the kinds are latency, reset"),
        ({"kind": "latency"}, TypeError, "needs seconds="),
        ({"kind": "latency", "seconds": -1}, TypeError, "above 0"),
        ({"kind": "latency", "seconds": float("nan")}, TypeError, "above 0"),
        ({"kind": "reset", "seconds": 1}, TypeError, "it takes none"),
        ({"kind": "status", "after": 1}, TypeError, "it takes status"),
        ({"kind": "status", "status": 200}, ValueError, "400 to 599"),
        ({"kind": "truncate", "after": -1}, ValueError, "number of bytes"),
        ({"kind": "reset", "times": 0}, ValueError, "above 0"),
    ],
)
def test_wrong_faults(given: dict[str, Any], error: type[Exception], words: str) -> None:
    """
    Each kind takes its own keyword only.
    """
    with pytest.raises(error, match=words):
        fault_fields(host="a.test", **given)
