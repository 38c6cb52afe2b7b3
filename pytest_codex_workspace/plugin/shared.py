"""
Workspaces that the tests of a class, a module or a run share.

Each test sees what it requested itself, and its stubs, faults and policy end with it. A shared
workspace that is lost is a new one for the next test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import CodexWorkspaceError, ConfigError
from ..options.markers import DESCRIPTIONS, read_markers
from .as_started import as_started
from .attempt import attempt_of, watch_end
from .items import (
    OF_ONE_TEST,
    SHARED_FIXTURES,
    fixtures_of,
    fixtures_so_far,
    is_overridden,
    parameters_of,
)
from .settings import settings_of

if TYPE_CHECKING:
    from ..workspace.handle import Workspace
    from .starter import Starter

__all__ = [
    "begin_parts",
    "check_scope",
    "note_current",
    "note_failed",
    "note_shared",
    "renew_lost",
    "share_workspace",
    "watch_fixture",
]

_OF_WORKSPACES = frozenset({"codex_env", "codex_network_policy", *SHARED_FIXTURES})
"""The fixtures whose parameters change workspaces."""

_REMEDIES = {
    "class": "mark the class",
    "module": "mark the module, with pytestmark",
    "session": "give the option of the same meaning",
}


@dataclass(slots=True)
class _Shared:
    """
    A fixture with a workspace that tests share.

    Attributes:
        definition: the fixture.
        request: its request.
        starter: has started the workspace; `None` before and afterwards.
        unusable: whether the next test needs a new workspace.
        user: the test whose part runs.
    """

    definition: pytest.FixtureDef[Any]
    request: Any
    starter: Starter | None = None
    unusable: bool = False
    user: pytest.Item | None = None


_SHARED = pytest.StashKey[dict[str, _Shared]]()
_CURRENT = pytest.StashKey[pytest.Item]()


def check_scope(item: pytest.Item) -> None:
    """
    Refuse a marker or a parameter of one test that could only change a workspace which other tests
    use, too.

    Raises:
        ConfigError: *item* has one.
    """
    used = fixtures_of(item)
    # The narrowest scope comes first.
    shared = [name for name in SHARED_FIXTURES if name in used]
    if not shared:
        return
    owned = [_owner(item, SHARED_FIXTURES[name]) for name in shared]
    if not OF_ONE_TEST.isdisjoint(used):
        owned.append(item)
    described = {node for owner in owned for node in owner.listchain()}
    scope = SHARED_FIXTURES[shared[0]]
    belongs = f"{shared[0]} belongs to all tests of the {scope}"
    for node, mark in item.iter_markers_with_node():
        if mark.name in DESCRIPTIONS and node not in described:
            raise ConfigError(
                f"@pytest.mark.{mark.name} is for the workspace of one test, but {belongs}: "
                f"{_REMEDIES[scope]}, or use codex_workspace"
            )
    for parameter in parameters_of(item):
        if parameter in _OF_WORKSPACES and item not in owned:
            raise ConfigError(
                f"{parameter} has a parameter of its own for each test, but {belongs}: use "
                "codex_workspace"
            )


def _owner(item: pytest.Item, scope: str) -> pytest.Item | pytest.Collector:
    if scope == "class":
        # A function outside of a class has such a workspace for itself.
        return item.getparent(pytest.Class) or item
    if scope == "module":
        return item.getparent(pytest.Module) or item
    return item.session


def note_shared(definition: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """
    Remember a fixture with a shared workspace that is about to be set up.
    """
    found = request.config.stash.setdefault(_SHARED, {})
    found[definition.argname] = _Shared(definition, request)


def note_current(item: pytest.Item) -> None:
    """
    Remember which test runs: a fixture with a wider scope is not told which one needs it first.
    """
    item.config.stash[_CURRENT] = item


def note_failed(item: pytest.Item) -> None:
    """
    Remember that a phase of *item* has failed: the workspaces that it uses may be kept.
    """
    attempt_of(item).failed = True
    used = fixtures_so_far(item)
    for name, shared in item.config.stash.get(_SHARED, {}).items():
        if name in used and shared.starter is not None:
            shared.starter.failed = True


def watch_fixture(definition: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """
    If the fixture of *request*, which is about to be set up, fails when it ends, let the test
    fail before workspaces end: the one that is told, and the first that has used the fixture.
    """
    stash = request.config.stash
    first = stash[_CURRENT]

    def failed() -> None:
        for item in {first, stash[_CURRENT]}:
            note_failed(item)

    watch_end(definition, request, failed)


def share_workspace(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """
    Yield the workspace of a fixture with a wider scope than one test.

    Args:
        request: the request of the fixture.

    Raises:
        CodexWorkspaceError: one of its parts could not be made.
    """
    from .starter import Starter

    __tracebackhide__ = True
    item = request.config.stash[_CURRENT]
    shared = request.config.stash[_SHARED][str(request.fixturename)]
    env = request.getfixturevalue("codex_env") if is_overridden(item, "codex_env") else {}
    policy = settings_of(request.config).network
    if is_overridden(item, "codex_network_policy"):
        policy = request.getfixturevalue("codex_network_policy")
    with closing(Starter(request, item, env, policy, shared=True)) as starter:
        workspace = starter.start(read_markers(request.node.iter_markers()))
        shared.starter = starter
        try:
            yield workspace
        finally:
            shared.starter = None


def renew_lost(config: pytest.Config) -> None:
    """
    End shared workspaces that are lost, so that the next test gets new ones.
    """
    for shared in config.stash.get(_SHARED, {}).values():
        if shared.starter is not None and (
            shared.unusable or any(one.commands.lost for one in shared.starter.workspaces)
        ):
            with as_started(config):
                shared.definition.finish(shared.request)


def begin_parts(item: pytest.Item) -> None:
    """
    In each shared workspace that *item* uses, let its part begin. It ends when the fixtures of the
    test have ended.

    Raises:
        CodexWorkspaceError: a workspace cannot tell its tests apart any more.
    """
    used = fixtures_of(item)
    for name, shared in item.config.stash.get(_SHARED, {}).items():
        if name in used and shared.starter is not None and shared.user is not item:
            shared.user = item
            item.addfinalizer(partial(_end_part, item, shared, shared.starter))
            _begin_part(item, shared, shared.starter)


def _begin_part(item: pytest.Item, shared: _Shared, starter: Starter) -> None:
    from ..reports.section import position_in

    starter.join(item)
    attempt = attempt_of(item)
    for workspace in starter.workspaces:
        try:
            workspace.network.begin_part()
        except CodexWorkspaceError:
            shared.unusable = True
            raise
        now = position_in(workspace)
        attempt.seen[workspace.id] = attempt.reported[workspace.id] = now


def _end_part(item: pytest.Item, shared: _Shared, starter: Starter) -> None:
    shared.user = None
    with as_started(item.config):
        try:
            starter.leave(item)
            for workspace in starter.workspaces:
                workspace.network.end_part()
        except CodexWorkspaceError:
            # The next test gets a new workspace. That is no failure of this one.
            shared.unusable = True
    starter.tell_requests(item)
