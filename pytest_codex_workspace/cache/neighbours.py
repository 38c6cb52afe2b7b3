"""The other engines of a run: a setup that one of them has is copied and not made again."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ..codex import IMAGE
from ..engine import labels
from ..engine.protocol import Engine, ImageInfo
from ..errors import CodexWorkspaceError
from ..host.dirs import cache_dir
from ..reporting.output import Output, Step
from ..unpatched import clock
from .entries import is_old
from .export import import_setups
from .image_archive import with_progress

__all__ = ["Neighbours"]

_PATIENCE = 60.0
"""Seconds without any data from an engine."""


class Neighbours:
    """
    Engines of the same run and user, in the order in which they are asked.

    They are optional: any error of one is a warning, and setup runs here.

    Args:
        engine: gets the setups.
        others: the other engines, as the option names them.
        connect: finds the engine that an option names.
        ttl: maximum age of a setup in seconds.
        limit: the largest number of bytes to copy.
        output: shows progress and warnings.
        patience: seconds to wait for more of an image.
    """

    def __init__(
        self,
        engine: Engine,
        others: Sequence[str],
        *,
        connect: Callable[[str], Engine],
        ttl: float,
        limit: int,
        output: Output,
        patience: float = _PATIENCE,
    ) -> None:
        self._engine = engine
        self._others = list(others)
        self._connect = connect
        self._ttl = ttl
        self._limit = limit
        self._output = output
        self._patience = patience

    def fetch(self, key: str) -> ImageInfo | None:
        """
        Copy the setup image of *key* to this engine, with its tag. Return `None` if no other engine
        has a valid one.
        """
        for name in list(self._others):
            try:
                other = self._connect(name)
            except CodexWorkspaceError:
                # Nobody waits for it before each setup. The workers on it tell that it is away.
                self._others.remove(name)
                continue
            try:
                found = self._copy(name, other, key)
            except (CodexWorkspaceError, OSError) as error:
                self._output.note(
                    f"warning: the setup image {key} could not be copied from the engine {name}, "
                    f"setup runs here: {error}"
                )
                continue
            finally:
                other.close()
            if found is not None:
                return found
        return None

    def _copy(self, name: str, other: Engine, key: str) -> ImageInfo | None:
        tag = f"{IMAGE}:setup-{key}"
        image = other.image(tag)
        if image is None or not self._is_valid(image, key):
            return None
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        began = clock.monotonic()
        with (
            self._output.step(f"copying the setup image {key} from the engine {name}") as step,
            tempfile.TemporaryDirectory(prefix="copy-", dir=folder) as directory,
        ):
            path = Path(directory) / "image.tar"
            if not self._save(other, tag, path, step):
                self._output.note(
                    f"warning: the engine {name} sends nothing of the setup image {key}, "
                    "setup runs here"
                )
                return None
            (copied,) = import_setups(self._engine, path, ttl=self._ttl, limit=self._limit)
        self._output.note(
            f"the setup image {key} comes from the engine {name}: {clock.monotonic() - began:.1f} s"
        )
        return copied.image

    def _is_valid(self, image: ImageInfo, key: str) -> bool:
        return (
            image.labels.get(labels.KIND) == "setup"
            and image.labels.get(labels.KEY) == key
            and image.architecture == self._engine.platform.partition("/")[2]
            and image.size <= self._limit
            and not is_old(image, self._ttl)
        )

    def _save(self, other: Engine, tag: str, path: Path, step: Step) -> bool:
        """
        Write an image to a file. Return whether the engine has sent all of it, and has not stopped
        in between: reading from an engine has no time limit.
        """
        moved, ended = threading.Event(), threading.Event()
        errors: list[BaseException] = []

        def save() -> None:
            try:
                with path.open("wb") as file:
                    for piece in with_progress(other.save([tag]), step.advance):
                        file.write(piece)
                        moved.set()
            except BaseException as error:
                errors.append(error)
            ended.set()
            moved.set()

        threading.Thread(target=save, daemon=True).start()
        while not ended.is_set():
            if not moved.wait(self._patience):
                return False
            moved.clear()
        if errors:
            raise errors[0]
        return True
