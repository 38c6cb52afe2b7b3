"""Tests of network secrets on the host's side."""

from __future__ import annotations

import logging

import pytest

from pytest_codex_workspace.errors import ConfigError, SecretError
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.secrets.network import NetworkSecrets, placeholder_of
from pytest_codex_workspace.text.loggers import TOP, logger_of

HOSTS = {"TOKEN": ("api.test", "*.sub.test")}


def test_a_workspace_has_a_placeholder_that_is_always_the_same() -> None:
    """
    A cached image may contain it.
    """
    secrets = NetworkSecrets(HOSTS, {"TOKEN": "geheim-7"})

    assert secrets.variables == {"TOKEN": "codex_secret_TOKEN_3e53f5a9284a86cd"}
    assert secrets.rules() == [
        {"placeholder": placeholder_of("TOKEN"), "value": "geheim-7", "hosts": list(HOSTS["TOKEN"])}
    ]
    assert "geheim" not in repr(secrets)
    secrets.check_apart({"OTHER": ""})
    with pytest.raises(SecretError, match="TOKEN is both a network secret and a plain variable"):
        secrets.check_apart({"TOKEN": ""})


def test_values_that_the_proxy_gets_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """
    Also where nobody writes a debug log: pytest shows what is logged with `--log-level`.
    """
    secrets = NetworkSecrets(HOSTS, {"TOKEN": "geheim-7"})
    assert secrets.rules()

    with caplog.at_level(logging.DEBUG):
        logger_of(f"{TOP}.some.module").debug("it is %s", "geheim-7")

    assert ["it is ***"] == caplog.messages


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOKEN", None, "is not set"),
        ("HOME", "geheim-7", "every workspace has a variable"),
        ("TOKEN", "abc", "must have 4 to 4096 characters"),
        ("TOKEN", "x" * 4097, "must have 4 to 4096 characters"),
        ("TOKEN", "geheim-7\n", "no space around"),
        ("TOKEN", "ge\r\nheim: 7", "printable ASCII"),
        ("TOKEN", "gehäim-7", "printable ASCII"),
    ],
)
def test_a_value_that_cannot_be_sent(name: str, value: str | None, words: str) -> None:
    """
    The error names the secret, and not its value.
    """
    environ = {} if value is None else {name: value}
    with pytest.raises(SecretError, match=words) as caught:
        NetworkSecrets({name: ("api.test",)}, environ).rules()
    assert name in str(caught.value)
    assert value is None or value not in str(caught.value)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["TOKEN"], "must have the form NAME=VALUE"),
        (["TOKEN="], "is neither a host nor"),
        (["TOKEN=*"], "name the hosts, such as"),
        (["TOKEN=*.com"], "name the hosts, such as"),
        (["TOKEN=https://a.test/"], "is neither a host nor"),
        (["A=a.test"], "A is also a plain variable"),
        (["S=a.test"], "S is also a plain variable .* or a secret"),
    ],
)
def test_the_hosts_are_named(pairs: list[str], words: str) -> None:
    """
    A secret for every host would be no secret.
    """
    with pytest.raises(ConfigError, match=words):
        Config.of({"network_secret": pairs, "env": ["A=1"], "secret": ["S"]})


def test_hosts_are_those_of_a_policy() -> None:
    """
    Separated by commas, also from a file.
    """
    config = Config.of({"network_secret": {"TOKEN": "API.test, *.sub.test"}})

    assert config.network_secret == HOSTS
