"""Collect the report of a run while its workspaces come and go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SetupError
from ..unpatched import clock
from ..workspace.handle import Workspace, own_requests
from .records import TestRecord, WorkspaceRecord, append_begun, append_part
from .report import FILES, begin_report, keep_workspace, write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Collector", "collecting"]


@contextmanager
def collecting(
    directory: Path | None, image: str, tell: Callable[[str], None]
) -> Iterator[Collector | None]:
    """
    Collect a report while the context is open, and write it at its end, also after an error.

    Args:
        directory: the directory of the report; `None` for no report.
        image: the base image, as the option names it.
        tell: shows one line to the user.

    Yields:
        The collector for a `Session`.
    """
    if directory is None:
        yield None
        return
    collector = Collector(directory, image, tell)
    collector.begin()
    try:
        yield collector
    finally:
        collector.write()


class Collector:
    """
    Adds to the report of one process. If the report cannot be written, that is shown once,
    and changes nothing else.

    Args:
        directory: the directory of the report.
        image: the base image, as the option names it.
        tell: shows one line to the user.
        worker: name of this process of a parallel run; empty for one process.
    """

    def __init__(
        self, directory: Path, image: str, tell: Callable[[str], None], worker: str = ""
    ) -> None:
        self._directory = directory
        self._image = image
        self._tell = tell
        self._worker = worker
        self._told = False

    def begin(self) -> None:
        """
        Remove the report of an earlier run.
        """
        with self._told_once():
            begin_report(self._directory)

    def begun(self, workspace: Workspace, label: str) -> None:
        """
        Add a workspace that has just started, in case this process is killed before its end.

        Args:
            workspace: the workspace.
            label: id of the test or name of the command that uses it.
        """
        with self._told_once():
            append_begun(self._directory, self._record(workspace, label))

    def workspace(self, workspace: Workspace, label: str) -> None:
        """
        Add a workspace that has ended.

        Args:
            workspace: the workspace, whose network log is closed.
            label: id of the test or name of the command that used it.
        """
        record = replace(
            self._record(workspace, label),
            ended=clock.wall_time(),
            lost=workspace.commands.lost,
            commands=tuple(asdict(one) for one in workspace.commands),
            omitted=workspace.commands.omitted,
            setup_requests=workspace.setup.requests,
            requests=tuple(own_requests(workspace)),
        )
        with self._told_once():
            keep_workspace(self._directory, record, workspace.setup.log_path)

    def _record(self, workspace: Workspace, label: str) -> WorkspaceRecord:
        return WorkspaceRecord(
            test=label,
            worker=self._worker,
            repository=workspace.project.name,
            head=workspace.head,
            image=self._image,
            container=workspace.id,
            cache=workspace.setup.cache,
            key=workspace.setup.key,
            began=workspace.commands.began,
            ended=workspace.commands.began,
            setup_duration=workspace.setup.duration,
        )

    def failed_setup(self, repository: str, head: str, label: str, error: SetupError) -> None:
        """
        Add a workspace that did not come up, because its setup failed.

        Args:
            repository: name of the repository.
            head: full id of the commit.
            label: id of the test or name of the command that wanted it.
            error: why it failed.
        """
        now = clock.wall_time()
        record = WorkspaceRecord(
            test=label,
            worker=self._worker,
            repository=repository,
            head=head,
            image=self._image,
            container="",
            cache="none",
            key=None,
            began=now,
            ended=now,
            lost=f"{error.without_tail}\n{error.tail}",
            setup_requests=sorted((*error.requests, *error.passed), key=lambda one: one.time),
        )
        with self._told_once():
            keep_workspace(self._directory, record, error.log_path)

    def test(self, label: str, outcome: str, began: float, duration: float, message: str) -> None:
        """
        Add the outcome of a test that used a workspace.

        Args:
            label: id of the test.
            outcome: `passed`, `failed` or `skipped`.
            began: seconds since the epoch.
            duration: seconds.
            message: what the failure says, in one line; empty if the test did not fail.
        """
        record = TestRecord(label, self._worker, outcome, began, duration, message)
        with self._told_once():
            append_part(self._directory, record)

    def write(self) -> list[Path]:
        """
        Write the report of all processes, and tell where it is.

        Returns:
            Its files, the page first; none if they could not be written.
        """
        with self._told_once():
            page = write_report(self._directory)
            self._tell(f"report: {page}")
            return [page.with_name(name) for name in FILES]
        return []

    @contextmanager
    def _told_once(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if not self._told:
                self._told = True
                self._tell(f"warning: the report in {self._directory} is incomplete: {error}")
