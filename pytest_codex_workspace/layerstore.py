"""Where layers are kept: found by key, made once, tagged last."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from . import labels
from .config import CacheMode
from .engine.protocol import Engine
from .errors import EngineError, SetupError
from .identity import Identity
from .images import IMAGE
from .locks import machine_lock
from .output import Output
from .sweep import remove_image
from .trust import cache_dir

__all__ = ["MAX_AGE", "Layer", "LayerStore"]

MAX_AGE = 12 * 3600.0
"""Seconds that Codex keeps a cached container (OpenAI's documentation)."""

_CLOCK_SLACK = 60.0


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """
    An image to start from: its id, its key, the commit its project stands
    at, and whether the call that returned it made it.
    """

    image: str
    key: str
    head: str
    made: bool = False


class LayerStore:
    """
    Layers of one session, backed by the engine's images.

    Args:
        engine: which keeps the images.
        identity: the session.
        mode: the cache mode. `refresh` makes each setup layer once more;
            with `off` no layer outlives the session.
        output: told who holds a lock that has to be waited for.
        started: when the run began, in seconds since the epoch; `refresh`
            takes nothing older.
    """

    def __init__(
        self, engine: Engine, identity: Identity, mode: CacheMode, output: Output, started: float
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._mode = mode
        self._output = output
        self._started = started
        self._lock = threading.RLock()
        self._known: dict[str, Layer] = {}
        self._failed: dict[str, SetupError] = {}
        self._temporary: list[str] = []

    def get(self, kind: str, key: str, make: Callable[[], Layer]) -> Layer:
        """
        The layer of that key: known, cached, or made now by *make*.

        Raises:
            SetupError: *make* raised it, now or earlier in this session; a
                script that takes minutes to fail is not run for each test.
        """
        name = f"{kind}-{key}"
        with self._lock:
            if name in self._known:
                return self._known[name]
            layer = self.once(name, lambda: self._cached_or_made(kind, key, make))
            self._known[name] = replace(layer, made=False)
            return layer

    def once(self, name: str, make: Callable[[], T]) -> T:
        """
        What *make* returns, or the `SetupError` that it raised when it was
        called for *name* before.
        """
        if name in self._failed:
            raise self._failed[name].with_traceback(None)
        try:
            return make()
        except SetupError as error:
            self._failed[name] = error
            raise

    def commit(
        self, container: str, kind: str, key: str, *, repo: str, head: str, keep: bool = True
    ) -> Layer:
        """
        Make an image of *container*. The tag comes with it, so a tag means a
        complete layer. Layers of the same kind and repository that are too
        old to be used are removed.
        """
        keep = keep and self._mode != "off"
        marks = self._identity.labels(
            kind if keep else "temporary", **{labels.REPO: repo, labels.KEY: key, labels.HEAD: head}
        )
        # An engine removes parents that have no tag together with their last child.
        name = f"{kind}-{key}" if keep else f"temporary-{secrets.token_hex(6)}"
        tag = f"{IMAGE}:{name}"
        image = self._engine.commit(container, tag=tag, labels=marks)
        if not keep:
            self._temporary.append(image.id)
        else:
            self._expire(kind, repo)
            if kind == "setup":
                self._engine.tag(image.id, f"{IMAGE}:cached")
        return Layer(image.id, key, head, made=True)

    def forget_missing(self) -> bool:
        """
        Look layers up again whose images somebody removed; whether there were
        any.
        """
        with self._lock:
            found = {
                name: layer
                for name, layer in self._known.items()
                if self._engine.image(layer.image) is not None
            }
            missing = len(found) < len(self._known)
            self._known = found
            return missing

    def discard(self, layers: Sequence[Layer]) -> None:
        """
        Remove layers that were committed with `keep=False`, the topmost
        first. What is still in use goes when the store is closed.
        """
        for layer in layers:
            with suppress(EngineError):
                self._engine.remove_image(layer.image)
                self._temporary.remove(layer.image)

    def close(self) -> None:
        """
        Remove the layers that only this session used, the topmost first.
        """
        with ExitStack() as removals:
            for image in self._temporary:
                removals.callback(self._engine.remove_image, image)
            self._temporary = []

    def _cached_or_made(self, kind: str, key: str, make: Callable[[], Layer]) -> Layer:
        if self._mode == "off":
            return make()
        found = self._cached(kind, key)
        if found is not None:
            return found
        lock = cache_dir() / "locks" / f"{kind}-{key}.lock"
        with machine_lock(lock, f"the {kind} image {key}", self._output.note):
            return self._cached(kind, key) or make()

    def _cached(self, kind: str, key: str) -> Layer | None:
        image = self._engine.image(f"{IMAGE}:{kind}-{key}")
        if image is None or (kind != "clean" and _is_old(image.labels)):
            return None
        # What another worker of this run has made is new enough.
        anew = kind == "setup" and self._mode == "refresh"
        if anew and labels.created(image.labels) < self._started:
            return None
        return Layer(image.id, key, image.labels.get(labels.HEAD, ""))

    def _expire(self, kind: str, repo: str) -> None:
        for image in self._engine.images({labels.KIND: kind, labels.REPO: repo}):
            if _is_old(image.labels):
                remove_image(self._engine, image)


def _is_old(found: Mapping[str, str]) -> bool:
    return not -_CLOCK_SLACK < time.time() - labels.created(found) < MAX_AGE
