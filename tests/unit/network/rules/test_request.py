"""Tests of the line that shows a request."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_codex_workspace.network.rules.request import Request


def request(**changes: Any) -> Request:
    """
    Return an allowed request without a response, with *changes*.
    """
    values: dict[str, Any] = {
        "id": 1,
        "time": 1.5,
        "phase": "test",
        "method": "GET",
        "scheme": "https",
        "host": "example.org",
        "port": 443,
        "path": "/",
        "url": "https://example.org/",
        "status": None,
        "size": None,
        "duration": None,
        "verdict": "allowed",
    }
    return Request(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"status": 200, "size": 1256, "duration": 0.123},
            "[test] GET https://example.org/ 200 1256 bytes 0.12 s, allowed",
        ),
        ({"status": 204, "size": 0}, "[test] GET https://example.org/ 204 0 bytes, allowed"),
        (
            {"phase": "setup", "verdict": "blocked", "reason": "offline"},
            "[setup] GET https://example.org/, blocked (offline)",
        ),
    ],
)
def test_a_request_is_shown_as_one_line(changes: dict[str, Any], line: str) -> None:
    """
    The line shows the fields that are known, and the reason of a refusal.
    """
    assert str(request(**changes)) == line
    assert repr(request(**changes)) == f"<{line}>"


def test_a_request_cannot_control_a_terminal() -> None:
    """
    The record of an image from elsewhere may have any text.
    """
    forged = request(method="\x1b[2J", url="https://x/\n\x9b1m", reason="\x1b]0;a\x07")

    assert str(forged).isprintable()
