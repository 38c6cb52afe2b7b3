"""Tests of the options: defaults, values and errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import CodexWorkspaceError, ConfigError
from pytest_codex_workspace.network.rules.upstream import ENVIRONMENT
from pytest_codex_workspace.options.config import Config, check_environment
from pytest_codex_workspace.options.table import OPTIONS


def test_the_defaults_are_those_in_the_help():
    """
    An empty configuration has the default of each option.
    """
    config = Config.of({})

    for option in OPTIONS:
        if not option.repeatable and option.default:
            named = Config.of({option.key: option.default})
            assert getattr(config, option.key) == getattr(named, option.key)


GIT = {"git_tags": "true", "git_depth": "100"}
LIMITS = [("0.5", "512m"), ("none", "none"), ("0", "0")]


def test_values_are_converted():
    """
    Text becomes a path, variables, seconds or bytes.
    """
    config = Config.of({"repo": "here", "env": ["A=1", "B=x=y"], "setup_timeout": "2.5"})

    assert Path("here") == config.repo
    assert config.env == {"A": "1", "B": "x=y"}
    assert config.setup_timeout == 2.5
    assert (True, 100) == ((git := Config.of(GIT)).git_tags, git.git_depth)
    assert (False, None) == (Config().git_tags, Config.of({"git_depth": "all"}).git_depth)
    assert 2700.0 == Config.of({"cache_ttl": "45m"}).cache_ttl
    assert 1_500_000_000 == Config.of({"cache_size": "1.5GB"}).cache_size
    limits = [Config.of({"cpus": one, "memory": two}) for one, two in LIMITS]
    assert [(0.5, 2**29), (0.0, 0), (0.0, 0)] == [(one.cpus, one.memory) for one in limits]
    assert (2.0, 8 * 2**30) == (Config().cpus, Config().memory)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cache": "sometimes"}, "--codex-cache=sometimes: must be one of auto"),
        ({"env": ["NOVALUE"]}, "--codex-env=NOVALUE: must have the form NAME=VALUE"),
        ({"env": ["1A=x"]}, "'1A' is not a valid name"),
        ({"env": ["A=\0"]}, "A contains a NUL byte"),
        ({"setup_timeout": "soon"}, "--codex-setup-timeout=soon: must be a number of seconds"),
        ({"setup_timeout": "-1"}, "above 0"),
        ({"setup_timeout": "nan"}, "above 0"),
        ({"git_tags": "yes"}, "--codex-git-tags=yes: must be one of true, false"),
        ({"git_depth": "0"}, "--codex-git-depth=0: must be a number of commits"),
        ({"git_depth": "-1"}, "or 'all'"),
        ({"git_depth": "1e3"}, "or 'all'"),
        ({"cache_ttl": "soon"}, "--codex-cache-ttl=soon: must be a duration above 0"),
        ({"cache_ttl": "0"}, "above 0"),
        ({"cache_size": "much"}, "--codex-cache-size=much: must be a size such as"),
        ({"cache_scope": "fork"}, "--codex-cache-scope=fork: must be one of repository"),
        ({"cache_scope": "name:"}, "or name:TEXT"),
        ({"cpus": "many"}, "--codex-cpus=many: must be a number of processors"),
        ({"cpus": "-1"}, "or 'none'"),
        ({"cpus": "nan"}, "or 'none'"),
        ({"memory": "1MB"}, "--codex-memory=1MB: must be at least 64MiB"),
        ({"memory": "big"}, "must be a size such as"),
        ({"cache_registry": "me/cache"}, "must be a registry's host and a repository"),
        ({"cache_registry": "ghcr.io/Me/cache"}, "in lower case"),
        ({"cache_registry": "ghcr.io/me/cache:tag"}, "without a tag"),
        ({"output": "loud"}, "must be one of progress, stream, quiet"),
        (
            {"upstream_proxy": "off"},
            "upstream-proxy: 'off': the URL of a proxy must start with",
        ),
        ({"upstream_proxy": "http://localhost:3128"}, "which containers cannot reach"),
    ],
)
def test_an_invalid_value_is_explained(values, words):
    """
    The error names the option and its valid values.
    """
    with pytest.raises(ConfigError, match="--codex-") as caught:
        Config.of(values)

    assert words in str(caught.value)


def test_the_default_of_the_upstream_proxy_is_a_word_that_its_module_knows():
    """
    The module is loaded only to check what was given.
    """
    assert ENVIRONMENT == Config().upstream_proxy


def test_the_password_of_the_upstream_proxy_is_not_shown():
    """
    Neither an error nor the `repr` of the configuration shows it.
    """
    config = Config.of({"upstream_proxy": "http://me:hush@proxy.example:3128"})
    with pytest.raises(ConfigError) as caught:
        Config.of({"upstream_proxy": "ftp://me:hush@proxy.example"})

    assert config.upstream_proxy == "http://me:hush@proxy.example:3128"
    assert "hush" not in f"{config!r} {caught.value}"


def test_a_variable_must_be_text():
    """
    A number is not silently turned into text.
    """
    with pytest.raises(ConfigError, match="write PORT='8080'"):
        check_environment({"PORT": 8080}, "env")


def test_an_invalid_option_is_an_error_of_this_package():
    """
    A `ConfigError` is caught as any error of this package, and as the builtin error; its text
    cannot control a terminal.
    """
    error = ConfigError("--codex-image=\x1b[2Jx: must be a name")

    assert isinstance(error, CodexWorkspaceError)
    assert isinstance(error, ValueError)
    assert "--codex-image=x: must be a name" == str(error)


def test_the_page_lists_what_no_file_can_set():
    """
    The reference has every option, and docs/configuration.md those that are the user's alone.
    """
    configuration = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    (listed,) = re.findall(r"cannot be set in the file: (.*)\.$", configuration, re.MULTILINE)

    assert {f"`{one.name}`" for one in OPTIONS if one.place is None} == set(listed.split(", "))


def test_what_the_checks_get_to_know(tmp_path):
    """
    The variables of the profile and of the user, the test command, the image, and the scripts that
    options give.
    """
    script = tmp_path / "setup.sh"
    script.write_text("make\n")
    values = {"env": ["A=1"], "test_command": "make test", "image": "slim"}

    found = Config.of({**values, "setup_script": str(script)}).for_checks

    assert ("make test", "slim") == (found.test_command, found.image)
    assert "1" == found.variables["A"]
    assert {"setup": (str(script), "make\n")} == found.given


def test_which_options_have_paths():
    """
    In an ini file, these begin at its directory; a policy does if it is a file.
    """
    paths = {one.name for one in OPTIONS if one.is_path("x")}
    policies = {one.name for one in OPTIONS if one.is_path("x.yaml")} - paths

    assert {"repo", "setup-script", "maintenance-script", "report", "debug"} == paths
    assert {"network", "network-setup"} == policies
