"""How often, and when, each cached image was used on this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..engine.protocol import Engine
from ..host.dirs import cache_dir

__all__ = ["Usage", "Use", "usage_on"]


@dataclass(frozen=True, slots=True)
class Use:
    """
    The number of workspaces that used an image, and the time of the last use in seconds since
    the epoch; 0 before the first.
    """

    hits: int = 0
    last: float = 0.0


class Usage:
    """
    Counts uses with one file for each image. Each use appends a byte, which any
    number of processes may do at the same time. The size of the file is the number of
    uses, and its time the last use.

    If the directory cannot be written, uses are not counted, and nothing fails.

    Args:
        directory: the directory of the files; it is created if necessary.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, image: str) -> None:
        """
        Count a use of the image with the id *image*.
        """
        with suppress(OSError):
            self._append(image)

    def of(self, image: str) -> Use:
        """
        Return the uses of the image with the id *image*.
        """
        try:
            state = self._file(image).stat()
        except OSError:
            return Use()
        return Use(state.st_size, state.st_mtime)

    def forget(self, kept: Iterable[str]) -> None:
        """
        Forget the uses of all images except those *kept*.
        """
        names = {self._file(image).name for image in kept}
        with suppress(OSError):
            for path in list(self._directory.iterdir()):
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def _append(self, image: str) -> None:
        path = self._file(image)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, b".")
        finally:
            os.close(handle)

    def _file(self, image: str) -> Path:
        return self._directory / image.rpartition(":")[2]


def usage_on(engine: Engine) -> Usage:
    """
    Return the uses of the images of *engine*.
    """
    name = hashlib.sha256(engine.url.encode()).hexdigest()[:12]
    return Usage(cache_dir() / "uses" / name)
