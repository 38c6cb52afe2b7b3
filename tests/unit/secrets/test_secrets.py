"""Tests of secrets: their values, their digests, and where they do not appear."""

from __future__ import annotations

import logging

import pytest

from pytest_codex_workspace.errors import SecretError
from pytest_codex_workspace.images.content_key import fingerprint, key_of
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.secrets.secrets import Secrets
from pytest_codex_workspace.setup.keys import setup_parts
from pytest_codex_workspace.text.loggers import TOP, logger_of

from ..setup.test_keys import spec


def parts(**values: str) -> dict[str, object]:
    return setup_parts(spec(secrets=Secrets(list(values), values)), base="b", platform="p")


@pytest.mark.slow
def test_each_value_changes_the_key() -> None:
    """
    So does each name. Equal secrets give equal keys on every machine.
    """
    usual = key_of(parts(A="value-one", B="value-two"))

    assert usual == key_of(parts(B="value-two", A="value-one"))
    assert usual != key_of(parts(A="value-one", B="value-three"))
    assert usual != key_of(parts(A="value-two", B="value-one"))
    assert usual != key_of(parts(A="value-one", C="value-two"))
    assert usual != key_of(parts(A="value-one"))
    assert key_of(setup_parts(spec(), base="b", platform="p")) == key_of(parts())


def test_a_label_has_only_the_names() -> None:
    """
    No part of a label depends on a value, so a value cannot be guessed.
    """
    one = fingerprint(parts(TOKEN="value-one"))

    assert one == fingerprint(parts(TOKEN="value-two"))
    assert '["TOKEN"]' == one["secrets"]


def test_values_that_were_read_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """
    Also where nobody writes a debug log: pytest shows what is logged with `--log-level`.
    """
    secrets = Secrets(["A"], {"A": "hunter22"})
    assert secrets.values

    with caplog.at_level(logging.DEBUG):
        logger_of(f"{TOP}.some.module").debug("it is %s", "hunter22")

    assert ["it is ***"] == caplog.messages


@pytest.mark.slow
def test_the_digest_depends_on_the_repository() -> None:
    """
    So a guess is good for one repository only. Each guess takes 32 MiB.
    """
    secrets = Secrets(["A"], {"A": "value"})

    assert secrets.digest("one") == Secrets(["A"], {"A": "value"}).digest("one")
    assert secrets.digest("one") != secrets.digest("two")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "the secret TOKEN is not set"),
        ({"TOKEN": ""}, "TOKEN has fewer than 4 characters"),
        ({"TOKEN": " abc\n"}, "TOKEN has fewer than 4 characters"),
    ],
)
def test_an_invalid_value_is_an_error(environ: dict[str, str], words: str) -> None:
    """
    The error names the secret, and comes only when the value is needed.
    """
    secrets = Secrets(["TOKEN"], environ)

    with pytest.raises(SecretError, match=words):
        _ = secrets.values
    with pytest.raises(SecretError, match=words):
        secrets.digest("x")


def test_a_name_of_a_plain_variable_cannot_be_a_secret() -> None:
    """
    The variable belongs to every workspace, or to this one.
    """
    with pytest.raises(SecretError, match="every workspace has a variable"):
        _ = Secrets(["HTTPS_PROXY"], {"HTTPS_PROXY": "http://me:hush@proxy.test"}).values
    with pytest.raises(SecretError, match="remove one of the two"):
        Secrets(["A"], {"A": "value"}).check_apart({"A": "1"})


def test_no_traceback_shows_a_value() -> None:
    """
    The `repr` of the secrets and of their values does not show a value either.
    """
    secrets = Secrets(["TOKEN"], {"TOKEN": "very-secret"})

    assert "very-secret" == secrets.values["TOKEN"]
    assert "very-secret" not in f"{secrets!r} {secrets.values!r} {dict(secrets.values)!r}"


def test_the_network_log_does_not_show_values() -> None:
    """
    They are removed from hosts, URLs, explanations, processes and bodies. Other fields are
    unchanged.
    """
    secrets = Secrets(["TOKEN"], {"TOKEN": "very/secret"})
    request = Request(
        *(1, 2.0, "setup", "GET", "https", "very/secret.test", 443, "/very/secret"),
        *("https://a.test/very%2Fsecret", 200, 3, 0.1, "allowed"),
        explanation="very/secret is odd",
        process="curl -d very/secret",
        request_body=b"token=very%2Fsecret",
        response_body=b'{"token": "very/secret"}',
    )

    assert request is secrets.hide(request)  # No script got it yet.
    _ = secrets.values
    hidden = secrets.hide(request)

    assert "/***" == hidden.path
    assert b"token=***" == hidden.request_body
    assert "secret" not in repr([getattr(hidden, name) for name in Request.__slots__])
