"""Secrets: their values, what is made of them, and where they are not."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import SecretError
from pytest_codex_workspace.keys import fingerprint, key_of
from pytest_codex_workspace.layers import setup_parts
from pytest_codex_workspace.network.request import Request
from pytest_codex_workspace.secret import Secrets

from .test_keys import spec


def parts(**values: str) -> dict[str, object]:
    return setup_parts(spec(secrets=Secrets(list(values), values)), base="b", platform="p")


def test_each_value_has_a_say_in_the_key() -> None:
    """
    And each name; equal ones give equal keys on every machine.
    """
    usual = key_of(parts(A="value-one", B="value-two"))

    assert usual == key_of(parts(B="value-two", A="value-one"))
    assert usual != key_of(parts(A="value-one", B="value-three"))
    assert usual != key_of(parts(A="value-two", B="value-one"))
    assert usual != key_of(parts(A="value-one", C="value-two"))
    assert usual != key_of(parts(A="value-one"))
    assert key_of(setup_parts(spec(), base="b", platform="p")) == key_of(parts())


def test_a_label_tells_the_names_only() -> None:
    """
    Nothing in it changes with a value, so nothing can be guessed by it.
    """
    one = fingerprint(parts(TOKEN="value-one"))

    assert one == fingerprint(parts(TOKEN="value-two"))
    assert '["TOKEN"]' == one["secrets"]


def test_the_digest_is_slow_and_of_one_repository() -> None:
    """
    32 MiB a guess, and a guess is good for one repository only.
    """
    secrets = Secrets(["A"], {"A": "value"})

    assert secrets.digest("one") == Secrets(["A"], {"A": "value"}).digest("one")
    assert secrets.digest("one") != secrets.digest("two")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "the secret TOKEN is not set"),
        ({"TOKEN": ""}, "TOKEN has less than 4 characters"),
        ({"TOKEN": " abc\n"}, "TOKEN has less than 4 characters"),
    ],
)
def test_a_value_that_cannot_be_used(environ: dict[str, str], words: str) -> None:
    """
    The error names it, and comes when it is needed.
    """
    secrets = Secrets(["TOKEN"], environ)

    with pytest.raises(SecretError, match=words):
        _ = secrets.values
    with pytest.raises(SecretError, match=words):
        secrets.digest("x")


def test_names_that_cannot_be_secrets() -> None:
    """
    What every workspace has, and what this one has.
    """
    with pytest.raises(SecretError, match="every workspace has a variable"):
        _ = Secrets(["HTTPS_PROXY"], {"HTTPS_PROXY": "http://me:hush@proxy.test"}).values
    with pytest.raises(SecretError, match="leave one of them out"):
        Secrets(["A"], {"A": "value"}).check_apart({"A": "1"})


def test_no_traceback_shows_a_value() -> None:
    """
    Neither do the object that holds them and its values.
    """
    secrets = Secrets(["TOKEN"], {"TOKEN": "very-secret"})

    assert "very-secret" == secrets.values["TOKEN"]
    assert "very-secret" not in f"{secrets!r} {secrets.values!r} {dict(secrets.values)!r}"


def test_the_network_log() -> None:
    """
    Hosts, addresses, explanations and bodies are without; others are as they were.
    """
    secrets = Secrets(["TOKEN"], {"TOKEN": "very/secret"})
    request = Request(
        *(1, 2.0, "setup", "GET", "https", "very/secret.test", 443, "/very/secret"),
        *("https://a.test/very%2Fsecret", 200, 3, 0.1, "allowed"),
        explanation="very/secret is odd",
        request_body=b"token=very%2Fsecret",
        response_body=b'{"token": "very/secret"}',
    )

    assert request is secrets.hide(request)  # No script got it yet.
    _ = secrets.values
    hidden = secrets.hide(request)

    assert "/***" == hidden.path
    assert b"token=***" == hidden.request_body
    assert "secret" not in repr([getattr(hidden, name) for name in Request.__slots__])
