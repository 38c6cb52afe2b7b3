"""Masking of what has the form of a credential."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.credentials import (
    is_secret_name,
    mask_credentials,
    secret_values,
)

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET https://me:p@ss@host.test/a", "GET https://***@host.test/a"),
        ("ssh://me@host.test", "ssh://***@host.test"),
        ("https://host.test/?page=2&access_token=abc&x=1", "https://host.test/?page=2&access_token=***&x=1"),
        ("Authorization: Basic bWU6cHc=", "Authorization: ***"),
        ("{'X-Registry-Auth': 'eyJhIjoi'}", "{'X-Registry-Auth': '***'}"),
        ("sent Bearer abcdefgh12345", "sent Bearer ***"),
        ("run A=1 NPM_TOKEN=abc B=2", "run A=1 NPM_TOKEN=*** B=2"),
        ('{"auth": "bWU6cHc=", "name": "x"}', '{"auth": "***", "name": "x"}'),
        ("it is ghp_abcdefghijklmnop1234.", "it is ***"),
        (f"key {PEM} end", "key *** end"),
        # Whole values: long ones, and those in quotation marks with a space, a comma or another.
        (f"https://me:{'p' * 2000}@host.test/a", "https://***@host.test/a"),
        ('run PASSWORD="a \'b&c; d" B=2', 'run PASSWORD="***" B=2'),
        ('{"password": "a, \\"b", "name": "x"}', '{"password": "***", "name": "x"}'),
        (r'says {\"token\": \"a b\", \"name\"}', r'says {\"token\": \"***\", \"name\"}'),
        ('Cookie: a="first"; b="second"', "Cookie: ***"),
        ('{"Cookie": "YQ=", "name": "x"}', '{"Cookie": "***", "name": "x"}'),
        (r'{\"Cookie\": \"a\", \"name\"}', r'{\"Cookie\": \"***\", \"name\"}'),
        # Also as a part of the value of something else.
        ("url=https://host.test/?token=abc", "url=https://host.test/?token=***"),
        ("command='DB_PASS=abc start'", "command='DB_PASS=*** start'"),
        ("https://blob.test/?se=1&sig=a%2Fb&sp=r", "https://blob.test/?se=1&sig=***&sp=r"),
        (PEM[:40], "***"),
    ],
)  # fmt: skip
def test_credentials_are_masked(text, masked):
    """
    What is around them stays.
    """
    assert masked == mask_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /containers/ab12/json (look up the container ab12): 200 in 3 ms",
        "lock /home/me/.cache/codex-workspace/locks/setup-eb10.lock: acquired after 0 ms",
        "miss setup-k: abc differs in: scripts changed, environment.TOKEN added",
        "https://host.test/a@b?page=2",
    ],
)
def test_other_text_stays(text):
    """
    A log that is full of stars helps nobody.
    """
    assert text == mask_credentials(text)


def test_variables_with_secrets_are_known_by_their_names():
    """
    Short values, and names of files and programs, are none.
    """
    secret = [
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "api_key",
        "NPM_AUTH",
        "DB_PASS",
    ]
    plain = [
        "HOME",
        "KEYBOARD",
        "SSH_AUTH_SOCK",
        "PATH",
        "MONKEY",
        "COMPASS",
        "TOKEN_FILE",
        "PWD",
        "OLDPWD",
    ]

    assert secret == [one for one in (*secret, *plain) if is_secret_name(one)]
    environ = {"GITHUB_TOKEN": "abcdef", "DB_PASSWORD": "on", "HOME": "/home/me"}
    environ |= {"TLS_KEY": __file__, "PWD": "/home/me"}
    assert ["abcdef"] == secret_values(environ)


@pytest.mark.parametrize(
    "text",
    [
        "://" + "a" * 16000,
        "://" + "a@" * 8000 + "/",
        "a=" * 8000,
        "a-" * 8000,
        "auth" * 4000,
        "token=" * 3000,
        'cookie: a="' * 1500,
        "-----BEGIN " * 1500,
    ],
)
def test_long_text_is_masked_at_once(text):
    """
    Text of a workspace cannot make a pattern slow: the time limit of the test is the bound.
    """
    mask_credentials(text)
