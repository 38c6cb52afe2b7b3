"""Tests of the profiles, and of what they set."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from pytest_codex_workspace.codex import RUNTIMES
from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.profiles import (
    CODEX,
    CURRENT,
    PROFILES,
    SEED,
    Profile,
    agent_variables,
    profile_named,
    runtime_variables,
)
from pytest_codex_workspace.options.sources import ResolvedOptions
from pytest_codex_workspace.options.table import OPTIONS

SPELL = "--codex-{}"


def resolved(**options: str) -> ResolvedOptions:
    """
    Return the options of a run without a repository.
    """
    return ResolvedOptions.of(options, spell=SPELL, environ={})


def test_the_seed_is_the_default_and_changes_nothing() -> None:
    """
    Without a profile, every value is the same as before there were profiles.
    """
    assert Config().profile == "seed" == SEED.name
    plain = {field.name for field in fields(Profile)} - {"name", "summary"}
    empty = Profile("seed", "")
    assert all(getattr(SEED, name) == getattr(empty, name) for name in plain)
    assert resolved().values == {}
    assert set(resolved(profile="seed").values) == {"profile"}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profile_sets_values_that_exist(profile: Profile) -> None:
    """
    Options, policies and runtimes have the names that they have elsewhere.
    """
    by_key = {option.key: option for option in OPTIONS}
    for key, value in profile.defaults.items():
        assert value != by_key[key].default
        Config.of({key: value})
        if by_key[key].metavar == "POLICY":
            Policy.named(value)
    assert set(profile.runtimes) <= set(RUNTIMES)
    assert profile_named(profile.name) is profile


@pytest.mark.parametrize("profile", [CODEX, CURRENT], ids=["codex", "current"])
def test_both_generations_of_codex_are_strict(profile: Profile) -> None:
    """
    Setup has internet access and tests are offline; the history is as the git sync leaves it, and a
    refused host is as little explained as there. Options that are not given have these values.
    """
    config = resolved(profile=profile.name).config
    assert (config.network_setup, config.network) == ("codex-setup", "offline")
    assert (config.git_tags, config.git_depth) == (False, 100)
    assert profile.keeps_changes
    assert profile.refusal == "Domain forbidden"


def test_what_differs_between_the_generations_of_codex() -> None:
    """
    The variables of the agent were seen in the older one, placeholders and newer runtimes are of
    the current one.
    """
    assert {name: value for name, value in CODEX.agent.items() if value} == {
        "CODEX_CI": "1",
        "CODEX_HOME": "/opt/codex",
        "CODEX_INTERNAL_ORIGINATOR_OVERRIDE": "codex_web_agent",
    }
    assert "CODEX_THREAD_ID" in CODEX.agent
    assert CURRENT.agent == {}
    assert (CODEX.secret, CURRENT.secret) == ("variable", "placeholder")
    assert CODEX.runtimes == {}


def test_an_option_takes_precedence_over_the_profile() -> None:
    """
    A profile chooses defaults, and each value says where it comes from.
    """
    found = resolved(profile="codex", network="codex-package-managers")
    assert found.config.network == "codex-package-managers"
    assert found.config.network_setup == CODEX.defaults["network_setup"]
    assert str(found.source("network")) == "--codex-network"
    assert str(found.source("network_setup")) == "profile codex"
    assert found.source("network_setup").kind == "profile"
    assert found.config.setup_timeout == Config().setup_timeout


def test_an_unknown_profile_is_an_error() -> None:
    """
    The error has the names, and what was meant.
    """
    with pytest.raises(Exception, match=r"--codex-profile=codxe: .* seed, codex, current .*codex"):
        resolved(profile="codxe")


def test_variables_of_tests_are_the_agents() -> None:
    """
    Each workspace has an id of its own, and a variable of the user's wins.
    """
    first, second = (agent_variables(CODEX, {"CODEX_CI": "0"}) for _ in range(2))
    assert set(first) == set(CODEX.agent) - {"CODEX_CI"}
    assert first["CODEX_HOME"] == "/opt/codex"
    assert len(first["CODEX_THREAD_ID"]) == 36
    assert first["CODEX_THREAD_ID"] != second["CODEX_THREAD_ID"]
    assert agent_variables(SEED, {}) == {}
    assert runtime_variables(SEED) == {}


def test_a_profile_describes_what_it_sets() -> None:
    """
    `codex-workspace config` prints it: also what is not known.
    """
    text = "\n".join(CURRENT.describe())
    assert text.startswith("profile current: Codex since 2026-09-29")
    assert "runtimes: NODE 24, RUST 1.95.0, GO 1.25.1, SWIFT 6.2, PHP 8.5" in text
    assert text.count("not known: ") == len(CURRENT.unknown)
    assert "variables in tests: CODEX_CI, CODEX_THREAD_ID" in "\n".join(CODEX.describe())
    assert json.loads(json.dumps(CODEX.to_dict()))["agent"]["CODEX_CI"] == "1"
