"""Calling hooks: results, and the names of plugins that fail."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Generator
from typing import Any

import pytest

from pytest_codex_workspace.errors import PluginError, PolicyError
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, Policy
from pytest_codex_workspace.plugin.hooks import specs
from pytest_codex_workspace.plugin.hooks.call import call_hook, choose_policy, is_implemented

CHOSEN = "pytest_codex_policy_chosen"
STARTED = "pytest_codex_workspace_started"
NODE = {"node": None, "config": None}


@pytest.fixture
def manager() -> pytest.PytestPluginManager:
    """
    Return a manager of plugins that knows our hooks only.
    """
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(specs)
    return manager


def register(
    manager: pytest.PytestPluginManager, plugin: str, hook: str, function: Callable[..., Any]
) -> None:
    manager.register(type("Plugin", (), {hook: staticmethod(function)}), plugin)


def test_what_nobody_implements_is_not_called(manager):
    """
    Not even asked for.
    """
    assert not is_implemented(manager.hook, STARTED)
    assert call_hook(manager.hook, STARTED, workspace=None, **NODE) is None


def test_an_exception_has_the_name_of_its_plugin(manager):
    """
    And the place in its code; the original is the cause.
    """

    def helper():
        raise ValueError("no room\x1b[2J")

    def fails(workspace):
        helper()

    register(manager, "steady", STARTED, lambda workspace: None)
    register(manager, "metrics", STARTED, fails)
    assert is_implemented(manager.hook, STARTED)

    with pytest.raises(PluginError, match="the plugin metrics raised ValueError: no room ") as info:
        call_hook(manager.hook, STARTED, workspace=None, **NODE)
    assert f"({__file__}:{fails.__code__.co_firstlineno + 1})" in str(info.value)
    assert "\x1b" not in str(info.value)
    assert isinstance(info.value.__cause__, ValueError)


def test_a_wrapper_is_not_blamed_for_what_it_wraps(manager):
    """
    Though the exception has passed through it.
    """

    @pytest.hookimpl(wrapper=True)
    def wraps(workspace) -> Generator[None, None, None]:
        yield

    def fails(workspace):
        raise OSError

    register(manager, "outer", STARTED, wraps)
    register(manager, "inner", STARTED, fails)

    with pytest.raises(PluginError, match="the plugin inner raised OSError"):
        call_hook(manager.hook, STARTED, workspace=None, **NODE)


def raising(error: BaseException) -> Callable[[], None]:
    """
    Return an implementation of any hook.
    """

    def fails() -> None:
        raise error

    return fails


@pytest.mark.parametrize(
    "error",
    [pytest.skip.Exception("not here"), pytest.fail.Exception("not so"), KeyboardInterrupt()],
)
def test_a_skip_a_failure_and_an_interruption_stay_what_they_are(manager, error):
    """
    They are no errors of the plugin.
    """
    register(manager, "decides", STARTED, raising(error))

    with pytest.raises(type(error)) as info:
        call_hook(manager.hook, STARTED, workspace=None, **NODE)
    assert info.value is error


def test_where_no_test_runs_none_is_failed(manager):
    """
    Outside of a test, pytest would end with a traceback.
    """
    hook = "pytest_codex_report_written"
    register(manager, "late", hook, raising(pytest.fail.Exception("not so")))

    with pytest.raises(PluginError, match="plugin late raised Failed: not so"):
        call_hook(manager.hook, hook, path=None, kind="html", config=None)


def read(policy: Any) -> Policy:
    if isinstance(policy, Policy):
        return policy
    raise PolicyError(f"no policy is called {policy!r}")


def test_the_first_policy_counts(manager):
    """
    A plugin that returns none leaves it to the others.
    """
    narrow = HTTPS_ONLY.but(methods=("GET",))
    register(manager, "first", CHOSEN, lambda policy: policy.but(methods=("HEAD",)))
    register(manager, "second", CHOSEN, lambda policy: narrow)
    register(manager, "third", CHOSEN, lambda: None)

    assert choose_policy(manager.hook, read, HTTPS_ONLY, **NODE) is narrow


def test_without_an_answer_the_policy_is_kept(manager):
    """
    As without plugins.
    """
    assert choose_policy(manager.hook, read, HTTPS_ONLY, **NODE) is HTTPS_ONLY
    register(manager, "silent", CHOSEN, lambda policy: None)
    assert choose_policy(manager.hook, read, HTTPS_ONLY, **NODE) is HTTPS_ONLY


def test_what_is_no_policy_is_refused_with_the_names_of_plugins(manager):
    """
    One of them has returned it.
    """
    register(manager, "strict", CHOSEN, lambda policy: "strct")

    with pytest.raises(PluginError, match=r"implemented by strict.*no policy is called 'strct'"):
        choose_policy(manager.hook, read, HTTPS_ONLY, **NODE)


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), CancelledError()])
def test_a_plugin_does_not_end_the_run(manager, error):
    """
    Neither with its exit code nor as if nothing had happened.
    """
    register(manager, "rash", STARTED, raising(error))

    with pytest.raises(PluginError, match=f"plugin rash raised {type(error).__name__}"):
        call_hook(manager.hook, STARTED, workspace=None, **NODE)
