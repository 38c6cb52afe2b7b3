"""Tests of the messages between the proxy and the host."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.network import messages
from pytest_codex_workspace.network.messages import LineBuffer, decode, encode, request_from


def message(**changes: Any) -> dict[str, Any]:
    """
    Return the fields of a request event.
    """
    fields: dict[str, Any] = {
        "id": 1,
        "time": 1.5,
        "phase": "test",
        "method": "GET",
        "scheme": "https",
        "host": "example.org",
        "port": 443,
        "path": "/",
        "url": "https://example.org/",
        "status": 200,
        "size": 5,
        "duration": 0.5,
        "verdict": "allowed",
        "reason": None,
        "explanation": "",
    }
    return {**fields, **changes}


@given(st.lists(st.binary().map(lambda data: data.replace(b"\n", b""))), st.integers(1, 10))
def test_lines_do_not_depend_on_the_pieces(lines: list[bytes], size: int) -> None:
    """
    The same lines are found, however the stream is split.
    """
    found: list[bytes] = []
    buffer = LineBuffer(found.append)
    stream = b"".join(line + b"\n" for line in lines)
    for start in range(0, len(stream), size):
        buffer.feed(stream[start : start + size])

    assert found == lines


def test_an_unfinished_line_waits_for_its_end() -> None:
    """
    A line is passed on only when its line end has arrived.
    """
    found: list[bytes] = []
    buffer = LineBuffer(found.append)

    buffer.feed(b"ab\nc")
    assert found == [b"ab"]
    buffer.feed(b"\n")
    assert found == [b"ab", b"c"]


def test_a_line_without_an_end_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of a line that exceeds the limit only the beginning is kept, so memory stays bounded, and the
    next line is whole.
    """
    monkeypatch.setattr(messages, "LINE_LIMIT", 4)
    found: list[bytes] = []
    buffer = LineBuffer(found.append)

    for piece in (b"1234", b"5", b"6\nab", b"\n123456\n"):
        buffer.feed(piece)

    assert found == [b"1234", b"ab", b"1234"]


def test_a_message_is_one_line() -> None:
    """
    `decode` reads what `encode` wrote, line ends in values included.
    """
    line = encode({"op": "ping", "text": "a\nb"})

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == {"op": "ping", "text": "a\nb"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1", "not an object"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b"{", "line 1 column 2"),
        (b"", "Expecting value"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_an_invalid_message_is_rejected(line: bytes, message: str) -> None:
    """
    A line that is not a JSON object raises `ValueError`, however deeply it is nested.
    """
    with pytest.raises(ValueError, match=message):
        decode(line)


def test_a_request_has_the_fields_of_its_event() -> None:
    """
    Optional fields are decoded, and routes become a tuple.
    """
    body = base64.b64encode(b"\0body").decode()
    event = json.loads(encode(message(routes=[3, 4], request_body=body)))

    request = request_from(event)

    assert (request.id, request.host, request.verdict) == (1, "example.org", "allowed")
    assert request.routes == (3, 4)
    assert request.request_body == b"\0body"
    assert request.response_body is None


def test_control_characters_are_escaped() -> None:
    """
    Text from a workspace cannot control the terminal that shows the log.
    """
    request = request_from(message(path="/\x1b[31m", url="https://example.org/\x1b[31m"))

    assert request.path == "/\\x1b[31m"
    assert "\x1b" not in str(request)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", True),
        ("id", "1"),
        ("status", "200"),
        ("phase", "run"),
        ("verdict", "fine"),
        ("reason", "because"),
        ("host", None),
        ("routes", 3),
        ("routes", ["3"]),
        ("time", float("nan")),
        ("time", 1e300),
        ("duration", float("inf")),
        ("status", 10**400),
    ],
)
def test_an_invalid_field_is_rejected(field: str, value: object) -> None:
    """
    Every field is checked, because a workspace influences its value.
    """
    with pytest.raises(ValueError, match=f"a request whose {field}"):
        request_from(message(**{field: value}))


def test_an_invalid_body_is_rejected() -> None:
    """
    A body that is not valid base64 is an error.
    """
    with pytest.raises(ValueError, match="base64"):
        request_from(message(response_body="not base64!"))


def test_a_missing_field_is_rejected() -> None:
    """
    An event without one of the required fields is an error.
    """
    event = message()
    del event["verdict"]

    with pytest.raises(ValueError, match="verdict"):
        request_from(event)


def test_the_process_of_a_request_is_text_that_may_be_missing() -> None:
    """
    Records of older images have none.
    """
    assert request_from(message()).process == ""
    assert request_from(message(process="sh › \x1bx")).process == "sh › \\x1bx"
    with pytest.raises(ValueError, match="whose process is"):
        request_from(message(process=["sh"]))
