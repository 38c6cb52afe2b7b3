"""Which clone on this machine a cached setup was made from. Nobody else is told."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

__all__ = ["Origins"]

_LIMIT = 1 << 16


class Origins:
    """
    Remembers the clone of each setup with one file for each image. Nothing fails if
    the directory cannot be written.

    Args:
        directory: the directory of the files; it is created if necessary.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, image: str, clone: str) -> None:
        """
        Remember that the image with the id *image* was made from *clone*.
        """
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file(image).write_text(json.dumps(clone), "utf-8")

    def of(self, image: str) -> str:
        """
        Return the clone that an image was made from; empty if it is not known.
        """
        with suppress(OSError, ValueError), self._file(image).open("rb") as file:
            found = json.loads(file.read(_LIMIT))
            return found if isinstance(found, str) else ""
        return ""

    def _file(self, image: str) -> Path:
        return self._directory / f"{image.rpartition(':')[2]}.json"
