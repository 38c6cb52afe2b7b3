"""What a workspace was, what has become of it since, and how it becomes so again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import SnapshotError
from .changes import FileChanges
from .file_system import (
    MOST_PATHS,
    described,
    file_changes,
    recent_paths,
    started_at,
    unlisted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .commands import Commands
    from .keeper import SnapshotKeeper
    from .snapshot import Snapshot

__all__ = ["Container", "History"]


class Container(Protocol):
    """
    The container of a workspace.
    """

    @property
    def container(self) -> str:
        """
        The engine's id of it.
        """

    @property
    def channel(self) -> Commands:
        """
        Runs programs in it.
        """


class History:
    """
    What one workspace was started from, and the states of it that are kept.

    Args:
        running: the container of the workspace.
        start: what the workspace was started from.
        keeper: keeps its snapshots.
        look: starts a container of an image, without a network, for the time of a context.
        restart: ends the processes of the workspace, and puts a container of an image in place of
            its container.
    """

    def __init__(
        self,
        running: Container,
        start: Snapshot,
        *,
        keeper: SnapshotKeeper,
        look: Callable[[str], AbstractContextManager[Commands]],
        restart: Callable[[str], None],
    ) -> None:
        self._running = running
        self._start = start
        self._keeper = keeper
        self._look = look
        self._restart = restart
        self._below = start
        self._started: int | None = None

    @property
    def container(self) -> str:
        """
        The engine's id of the container in which the workspace is now.
        """
        return self._running.container

    def snapshot(self) -> Snapshot:
        """
        Keep the files as they are now.

        Raises:
            EngineError: the engine refused.
            ChangesError: the workspace cannot tell when it was started.
        """
        return self._keeper.keep(self._running.container, self._below, self._since)

    def restore(self, snapshot: Snapshot) -> None:
        """
        Let the workspace go on from a snapshot, in a new container.

        Raises:
            SnapshotError: it is not there any more, or is one of another repository or setup.
            EngineError: the engine refused.
            WorkspaceLost: the workspace has ended.
        """
        self._check(snapshot)
        self._keeper.use(snapshot)
        self._restart(snapshot.image)
        self._below = snapshot

    def since_start(self) -> FileChanges:
        """
        Return how the files differ from those that the workspace was started from.

        Raises:
            ChangesError: the workspace cannot tell.
            ExecTimeout: it takes more than ten minutes.
        """
        return self._compare(self._start, "the start of the workspace")

    def since(self, snapshot: Snapshot) -> FileChanges:
        """
        Return how the files differ from those of a snapshot.

        Raises:
            SnapshotError: it is not there any more, or is one of another repository or setup.
            ChangesError: the workspace cannot tell.
            ExecTimeout: it takes more than ten minutes.
        """
        self._check(snapshot)
        self._keeper.use(snapshot)
        return self._compare(snapshot, f"the snapshot {snapshot.image[:19]}")

    def _check(self, snapshot: Snapshot) -> None:
        if snapshot.root != self._start.root:
            raise SnapshotError(
                f"the snapshot {snapshot.image[:19]} of {snapshot.repository} goes back to "
                "another image than this workspace: another repository, commit, setup or state",
                remedy="Start a workspace from it: codex_workspace_factory(snapshot=...).",
            )

    @property
    def _since(self) -> int:
        """
        A time after which everything was written by which the files differ from the root.
        """
        if self._below.since is not None:
            return self._below.since
        if self._started is None:
            self._started = started_at(self._running.channel)
        return self._started

    def _compare(self, before: Snapshot, since: str) -> FileChanges:
        here, now = "the workspace", self._running.channel
        start = min(self._since, self._since if before.since is None else before.since)
        with self._look(before.image) as then:
            found = {*recent_paths(now, start, here), *recent_paths(then, start, since)}
            paths = sorted(found)
            more = max(0, len(paths) - MOST_PATHS)
            del paths[MOST_PATHS:]
            new, old = described(now, paths, here), described(then, paths, since)
            if others := sorted(unlisted(old, new))[:MOST_PATHS]:
                new |= described(now, others, here)
                old |= described(then, others, since)
        return FileChanges(file_changes(old, new, [*paths, *others]), since, more=more)
