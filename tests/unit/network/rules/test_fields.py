"""Tests of parsing the fields of a policy."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.network.rules.fields import (
    PARSERS,
    InvalidPolicy,
    check_list,
    check_names,
)


@pytest.mark.parametrize(
    ("field", "value", "parsed"),
    [
        ("ports", 443, 443),
        ("allow", "*", "*"),
        ("allow", "Example.ORG.", "example.org"),
        ("deny", "*.Bücher.example", "*.xn--bcher-kva.example"),
        ("allow", "[::1]", "::1"),
        ("methods", "patch", "PATCH"),
        ("methods", "M-SEARCH", "M-SEARCH"),
        ("private", "10.1.0.0/16", "10.1.0.0/16"),
        ("refuse", "203.0.113.9", "203.0.113.9/32"),
        ("refuse", "fd00::/8", "fd00::/8"),
    ],
)
def test_values_are_normalised(field: str, value: object, parsed: object) -> None:
    """
    Each value has a single spelling after parsing.
    """
    assert PARSERS[field](value) == parsed


@pytest.mark.parametrize(
    ("value", "suggestion"),
    [
        ("https://example.org/path", "example.org"),
        ("https://user@example.org:443", "example.org"),
        ("example.org:443", "example.org"),
        ("*example.org", "*.example.org"),
        ("https://*.example.org", "*.example.org"),
        (" example.org ", "example.org"),
    ],
)
def test_a_host_is_suggested(value: str, suggestion: str) -> None:
    """
    For a URL or a wrong pattern, the error suggests a valid host.
    """
    with pytest.raises(ValueError, match="neither a host nor") as caught:
        PARSERS["allow"](value)

    assert str(caught.value).endswith(f" (did you mean {suggestion!r}?)")


@pytest.mark.parametrize("value", ["a b", "", "a..b", "*.*.org"])
def test_nothing_is_suggested_for_nonsense(value: str) -> None:
    """
    Without a likely correction, the error has no suggestion.
    """
    with pytest.raises(ValueError, match="neither a host nor") as caught:
        PARSERS["allow"](value)

    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ports", True),
        ("ports", "443"),
        ("ports", 65536),
        ("allow", 1),
        ("methods", "GET /"),
        ("methods", ""),
        ("private", "10.0.0.1/8"),
        ("refuse", "10.0.0.0/33"),
    ],
)
def test_invalid_values_are_rejected(field: str, value: object) -> None:
    """
    The error shows the value.
    """
    with pytest.raises((TypeError, ValueError)) as caught:
        PARSERS[field](value)

    assert repr(value) in str(caught.value)


def test_unknown_names_are_rejected() -> None:
    """
    The error names the unknown fields and suggests a similar one.
    """
    check_names(["allow"], ["allow", "deny"])

    with pytest.raises(InvalidPolicy, match=r"^unknown field alow, x \(did you mean 'allow'\?\); "):
        check_names(["x", "alow"], ["allow", "deny"])


@pytest.mark.parametrize("value", ["example.org", 443, {"a": 1}, None])
def test_only_lists_are_lists(value: object) -> None:
    """
    A single value is not a list; the error shows how to write one.
    """
    check_list("allow", ["example.org"])
    check_list("allow", ())

    with pytest.raises(InvalidPolicy, match=r"allow: .* is not a list; write "):
        check_list("allow", value)
