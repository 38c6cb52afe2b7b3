"""The shared cache: setup images in a container registry, looked up before setup runs."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from ..engine import labels
from ..engine.protocol import Advance, Engine, ImageInfo
from ..errors import CodexWorkspaceError, EngineError
from ..reporting.output import Output, Step
from ..unpatched import clock
from .entries import is_old

__all__ = ["SharedCache"]

_PATIENCE = 30.0
"""Seconds without any data from a registry."""

_ABSENT = ("not found", "manifest unknown", "no such image", "name unknown")


class SharedCache:
    """
    A registry's repository with setup images, tagged `setup-KEY`.

    The cache is optional: any error of the registry is a warning, and setup
    runs here.

    Args:
        engine: connects to the registry with its own credentials.
        repository: host and repository, without a tag.
        push: whether new images are sent there.
        ttl: maximum age of an image in seconds.
        output: shows progress and warnings.
        limit: the largest number of bytes to download for an image.
    """

    def __init__(
        self,
        engine: Engine,
        repository: str,
        *,
        push: bool,
        ttl: float,
        output: Output,
        limit: int | None = None,
    ) -> None:
        self._engine = engine
        self._repository = repository
        self._push = push
        self._ttl = ttl
        self._limit = limit
        self._output = output
        self._down = False
        self._waiting: Step | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="codex-cache-push")
        self._pushes: list[Future[None]] = []

    def fetch(self, key: str) -> ImageInfo | None:
        """
        Pull the setup image of *key* to this engine, under a name of the
        registry. Return `None` if there is no valid image.
        """
        if self._down:
            return None
        reference = self._reference(key)
        started = clock.monotonic()
        title = f"fetching the setup image {key} from {self._repository}"
        try:
            # Most look-ups find no image, so the step is announced only if it takes long.
            with self._output.step(title, announced=False) as step:
                image = self._engine.pull(
                    reference,
                    self._output.detail,
                    _PATIENCE,
                    on_advance=step.advance,
                    limit=self._limit,
                )
        except EngineError as error:
            text = str(error)
            if any(word in text.lower() for word in _ABSENT):
                self._output.note(f"{self._repository} has no setup image {key}")
            else:
                # A registry that is down is not asked again for each repository.
                self._down = True
                self._warn(
                    f"the setup image {key} could not be fetched, setup runs locally: {text}"
                )
            return None
        problem = self._problem_of(image, key)
        if problem:
            self._warn(f"{reference} is not used, setup runs locally: {problem}")
            self.forget(key)
            return None
        self._output.note(
            f"the setup image {key} comes from {self._repository}: "
            f"{clock.monotonic() - started:.1f} s"
        )
        return image

    def forget(self, key: str) -> None:
        """
        Remove the registry's name of an image from this engine, and the image
        if it has no other name.
        """
        with suppress(EngineError):
            self._engine.remove_image(self._reference(key))

    def push_later(self, image: str, key: str) -> None:
        """
        Send a new image in the background. `close` waits for it.
        """
        if self._push and not self._down:
            self._pushes.append(self._pool.submit(self._send, image, key))

    def close(self) -> None:
        """
        Wait until every image is sent, or sending it has failed.
        """
        if not all(one.done() for one in self._pushes):
            with self._output.step(f"sending setup images to {self._repository}") as step:
                self._waiting = step
                wait(self._pushes)
        self._pool.shutdown()

    def _send(self, image: str, key: str) -> None:
        reference = self._reference(key)
        try:
            self._engine.tag(image, reference)
            try:
                self._engine.push(
                    reference, self._output.detail, _PATIENCE, on_advance=self._advance
                )
            finally:
                self.forget(key)
        except CodexWorkspaceError as error:
            self._down = True
            self._warn(f"the setup image {key} could not be sent: {error}")

    def _advance(self, progress: Advance) -> None:
        if self._waiting is not None:
            self._waiting.advance(progress)

    def _problem_of(self, image: ImageInfo, key: str) -> str:
        if image.labels.get(labels.KIND) != "setup" or image.labels.get(labels.KEY) != key:
            return "its content does not match its tag"
        architecture = self._engine.platform.partition("/")[2]
        if image.architecture != architecture:
            return f"it is for {image.architecture}, and this engine is {architecture}"
        if is_old(image, self._ttl):
            return "it is too old"
        if image.on_build:
            return "it has ONBUILD instructions"
        return ""

    def _reference(self, key: str) -> str:
        return f"{self._repository}:setup-{key}"

    def _warn(self, text: str) -> None:
        self._output.note(f"warning: shared cache {self._repository}: {text}")
