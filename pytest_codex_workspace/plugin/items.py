"""What is known of a test before it runs: its fixtures, markers and parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..options.markers import WorkspaceRequest, read_keywords, read_markers
from .workers import is_worker

if TYPE_CHECKING:
    import pytest

__all__ = [
    "OF_ONE_TEST",
    "SHARED_FIXTURES",
    "fixtures_of",
    "fixtures_so_far",
    "is_overridden",
    "may_be_skipped",
    "next_of_kind",
    "parameters_of",
    "uses_workspace",
    "wants_workspace",
    "workspace_request",
]

SHARED_FIXTURES: Mapping[str, str] = {
    "codex_workspace_class": "class",
    "codex_workspace_module": "module",
    "codex_workspace_session": "session",
}
"""The fixtures whose workspace several tests share, and the scope of each."""

_LOOKED_AT = 100
"""How many tests are looked at for the next one with a workspace."""

_FAKE_FILES = frozenset({"fs", "fs_class", "fs_module", "fs_session"})
"""The fixtures of pyfakefs."""

OF_ONE_TEST = frozenset({"codex_workspace", "codex_workspace_factory"})
"""The fixtures whose workspaces end with the test."""


def fixtures_of(item: pytest.Item) -> Collection[str]:
    """
    Return the names of the fixtures that *item* uses, also through other fixtures.
    """
    found: Collection[str] = getattr(item, "fixturenames", ())
    return found


def fixtures_so_far(item: pytest.Item) -> Collection[str]:
    """
    Return the names of the fixtures that *item* uses, and of those that it has asked for while it
    ran, by `request.getfixturevalue`.
    """
    found: Collection[str] = getattr(
        getattr(item, "_request", None), "fixturenames", fixtures_of(item)
    )
    return found


def parameters_of(item: pytest.Item) -> Mapping[str, Any]:
    """
    Return the values that `parametrize` gives to *item*.
    """
    found: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return found


def uses_workspace(item: pytest.Item) -> bool:
    """
    Return whether *item* uses a fixture that starts workspaces.
    """
    used = fixtures_of(item)
    return not OF_ONE_TEST.isdisjoint(used) or not SHARED_FIXTURES.keys().isdisjoint(used)


def wants_workspace(item: pytest.Item) -> bool:
    """
    Return whether a workspace that the markers of *item* describe is started for it.
    """
    used = fixtures_of(item)
    return "codex_workspace" in used or not SHARED_FIXTURES.keys().isdisjoint(used)


def is_overridden(item: pytest.Item, fixture: str) -> bool:
    """
    Return whether a project has its own *fixture* in place of ours.
    """
    found = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get(fixture, ())
    return any(one.func.__module__ != __package__ for one in found)


def may_be_skipped(item: pytest.Item) -> bool:
    """
    Return whether *item* may be skipped: a condition that is text is not evaluated here.
    """
    if item.get_closest_marker("skip"):
        return True
    return any(any(mark.args) for mark in item.iter_markers("skipif"))


def workspace_request(item: pytest.Item) -> WorkspaceRequest:
    """
    Return what the markers of *item* and the parameter of `codex_workspace` request.

    Raises:
        ConfigError: a marker or the parameter is invalid.
        TypeError: a keyword in the parameter is unknown.
    """
    __tracebackhide__ = True
    wanted = read_markers(item.iter_markers())
    parameters = parameters_of(item)
    if "codex_workspace" not in parameters:
        return wanted
    keywords = parameters["codex_workspace"]
    if not isinstance(keywords, Mapping):
        raise ConfigError(
            f"the parameter of codex_workspace is {keywords!r}; it must be a dict with "
            "keywords of codex_workspace_factory, such as {'env': {'NAME': 'value'}}"
        )
    return wanted.changed_by(read_keywords(keywords))


def next_of_kind(
    item: pytest.Item, wanted: WorkspaceRequest, following: pytest.Item | None
) -> bool:
    """
    Return whether the next test with a workspace of its own is expected to start one like that of
    *item*, but for its network.

    Args:
        item: a test with `codex_workspace`.
        wanted: what it requests.
        following: the test that runs after it. Further ones are looked at if they are known to come
            next: not where xdist distributes the tests, or a plugin has an order of its own.
    """
    # pyfakefs puts files in memory in the place of this machine's, in every thread.
    if following is None or not _FAKE_FILES.isdisjoint(fixtures_of(item)):
        return False
    tests, collected = [following], item.session.items
    if not is_worker(item.config) and item in collected:
        after = collected.index(item) + 1
        if collected[after : after + 1] == [following]:
            tests = collected[after : after + _LOOKED_AT]
    for test in tests:
        if may_be_skipped(test) or OF_ONE_TEST.isdisjoint(fixtures_of(test)):
            continue
        if "codex_workspace" not in fixtures_of(test):
            return False
        try:
            found = workspace_request(test)
        except (ConfigError, TypeError):
            return False
        return (
            replace(found, network=wanted.network, cassette=wanted.cassette) == wanted
            and parameters_of(test).get("codex_env") == parameters_of(item).get("codex_env")
            # Paths in markers are relative to the test's file.
            and (wanted.repo is None or test.path.parent == item.path.parent)
        )
    return False
