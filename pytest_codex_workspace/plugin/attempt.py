"""One attempt at a test: a plugin may run a test again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ..unpatched import clock

if TYPE_CHECKING:
    from ..reports.section import Position
    from ..workspace.handle import Workspace

__all__ = ["Attempt", "attempt_of", "begin_attempt", "end_attempts", "watch_end"]


# Every run of pytest makes this class, and each further method of it takes time.
@dataclass(eq=False, repr=False)
class Attempt:
    """
    What is known of an attempt while it runs.

    Attributes:
        number: 1 for the first attempt.
        began: seconds since the epoch.
        failed: whether a phase of the test or a subtest has failed.
        skipped: whether the test has skipped itself.
        in_call: whether a report is that of a subtest.
        workspaces: the workspaces, and how to start each by hand.
        accounts: what was added to the captured output.
        seen: what had happened in each workspace at the last subtest, by its id.
        reported: what had happened there at the last report of a failure.
    """

    number: int = 1
    began: float = field(default_factory=clock.wall_time)
    failed: bool = False
    skipped: bool = False
    in_call: bool = False
    workspaces: list[tuple[Workspace, str]] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    seen: dict[str, Position] = field(default_factory=dict)
    reported: dict[str, Position] = field(default_factory=dict)


_ATTEMPT = pytest.StashKey[Attempt]()


def begin_attempt(item: pytest.Item) -> None:
    """
    Forget an earlier attempt at *item*.
    """
    earlier = item.stash.get(_ATTEMPT, None)
    item.stash[_ATTEMPT] = Attempt(earlier.number + 1 if earlier else 1)


def end_attempts(item: pytest.Item) -> None:
    """
    Forget the workspaces of *item*, which has been reported. pytest keeps all items until the end,
    and each workspace has the output of commands, and requests.
    """
    attempt_of(item).workspaces.clear()


def attempt_of(item: pytest.Item) -> Attempt:
    """
    Return the attempt that runs, or the last one.
    """
    found = item.stash.get(_ATTEMPT, None)
    if found is None:
        found = item.stash[_ATTEMPT] = Attempt()
    return found


def watch_end(
    definition: pytest.FixtureDef[Any], request: pytest.FixtureRequest, failed: Callable[[], None]
) -> None:
    """
    Call *failed* if the fixture of *request*, which is about to be set up, fails when it ends.
    pytest reports that when the workspaces below the fixture have ended, too.
    """
    # No hook is told how a finalizer ended: `pytest_fixture_post_finalizer` gets no exception, and
    # what a generator or `request.addfinalizer` leaves to be done comes by this method only.
    # Not that of the request, which would then refer to itself, and be garbage for long.
    add = definition.addfinalizer

    def add_watched(finalizer: Callable[[], object]) -> None:
        def watched() -> None:
            __tracebackhide__ = True
            try:
                finalizer()
            except (Exception, pytest.fail.Exception):
                failed()
                raise

        add(watched)

    request.addfinalizer = add_watched  # type: ignore[method-assign]
