"""A state of a workspace that was kept."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """
    The files of a workspace at one moment, returned by `Workspace.snapshot`.

    Attributes:
        image: the engine's id of the image that has them.
        repository: the name of the repository that was projected into the workspace.
        root: the image that the first workspace of its line was started from.
        since: a time after which all files were written by which it differs from that image, by
            the clock of files on the engine's machine in nanoseconds; `None` for that image itself.
    """

    image: str
    repository: str
    root: str = field(repr=False)
    since: int | None = field(default=None, repr=False)
