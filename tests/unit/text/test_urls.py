"""Tests of addresses without credentials."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.urls import without_credentials


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:secret@example.org/a", "https://example.org/a"),
        ("https://me@example.org:8443/", "https://example.org:8443/"),
        ("https://example.org/a@v1", "https://example.org/a@v1"),
        ("git@example.org:me/app.git", "git@example.org:me/app.git"),
        ("../other", "../other"),
    ],
)
def test_user_and_password_are_removed(url: str, expected: str) -> None:
    """
    An @ elsewhere stays, and so does an address in the form of ssh.
    """
    assert expected == without_credentials(url)


def test_what_is_no_valid_url_shows_no_password_either() -> None:
    """
    It may come from a repository.
    """
    assert without_credentials("https://me:secret@[x/") == "https://[x/"
