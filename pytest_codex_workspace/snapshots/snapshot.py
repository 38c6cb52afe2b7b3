"""A state of a workspace that was kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """
    The files of a workspace at one moment, returned by `Workspace.snapshot`.

    Attributes:
        image: the engine's id of the image that has them.
        source: what was projected into the workspace, for the session.
        root: the image that the first workspace of its line was started from.
        since: a time after which all files were written by which it differs from that image, by
            the clock of files on the engine's machine in nanoseconds; `None` for that image itself.
        origin: what the session knows of the workspace.
    """

    image: str
    source: Any = field(repr=False)
    root: str = field(repr=False)
    since: int | None = field(default=None, repr=False)
    origin: object = field(default=None, repr=False)

    @property
    def repository(self) -> str:
        """
        The name of the repository that was projected into the workspace.
        """
        return str(self.source.name)
