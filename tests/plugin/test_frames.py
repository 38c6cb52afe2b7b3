"""Tests of the end of tracebacks."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.plugin.frames import cut_frames

OURS = "pytest_codex_workspace.plugin.starter"


def modules_shown(error: BaseException, *modules: str) -> list[str]:
    """
    Return the modules whose frames are left of a call from one to the next, the last of which
    raises *error*.
    """

    def fail() -> None:
        raise error

    call: Callable[[], Any] = fail
    for name in reversed(modules):
        namespace: dict[str, Any] = {"__name__": name, "call": call}
        exec("def function(): call()", namespace)
        call = namespace["function"]
    with pytest.raises(type(error)):
        call()
    cut_frames(error)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [frame.f_globals["__name__"] for frame in frames if frame.f_globals.get("call")]


@pytest.mark.parametrize(
    ("modules", "left"),
    [
        (("test_a", OURS, "pytest_codex_workspace.session"), ["test_a"]),
        (("_pytest.python", "test_a", "helper", OURS), ["_pytest.python", "test_a", "helper"]),
        (("_pytest.fixtures", OURS, OURS), ["_pytest.fixtures", OURS]),
        (("pluggy._callers", OURS), ["pluggy._callers", OURS]),
        (("test_a", "pytest_codex_workspace_too"), ["test_a", "pytest_codex_workspace_too"]),
    ],
)
def test_a_traceback_ends_where_the_user_called_us(modules, left):
    """
    Of a fixture, its own frame is left. A package with a longer name is not ours.
    """
    assert left == modules_shown(ConfigError("invalid"), *modules)
    assert left == modules_shown(KeyboardInterrupt(), *modules)


def test_an_error_that_is_not_for_the_user_is_shown_whole():
    """
    It is a defect of this package, and has to be found.
    """
    assert ["test_a", OURS] == modules_shown(ZeroDivisionError(), "test_a", OURS)
