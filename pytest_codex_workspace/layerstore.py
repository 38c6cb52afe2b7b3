"""Where layers are kept: found by key, made once, tagged last."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from . import labels
from .cache import entries, evict, forget_gone, is_old
from .config import Config
from .engine.protocol import Engine, ImageInfo
from .errors import EngineError, SetupError
from .identity import Identity
from .images import IMAGE
from .locks import machine_lock
from .output import Output
from .quantities import show_size
from .shared import SharedCache
from .sweep import remove_image
from .trust import cache_dir
from .usage import Usage

__all__ = ["Layer", "LayerStore", "Marks"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """
    An image to start from: its id, its key, the commit its project stands
    at, the authority it trusts, and whether the call that returned it made it.
    """

    image: str
    key: str
    head: str
    ca: str = ""
    made: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """
    What an image says of itself: the repository's identity and name, the
    commit, the digest of the authority it trusts, and what it was made from.
    """

    repo: str
    name: str
    head: str
    ca: str = ""
    parts: Mapping[str, str] | None = None

    def labels(self) -> dict[str, str]:
        """
        As labels. Who made it is not for others to know.
        """
        return {
            labels.REPO: self.repo,
            labels.NAME: self.name,
            labels.HEAD: self.head,
            labels.CA: self.ca,
            labels.PARTS: json.dumps(self.parts or {}),
            labels.SESSION: "",
            labels.PID: "",
        }


class LayerStore:
    """
    Layers of one session, backed by the engine's images.

    Args:
        engine: which keeps the images.
        identity: the session.
        config: the cache's mode, age limit and budget. `refresh` makes each
            setup layer once more in a run; with `off` no layer outlives the session.
        output: told who holds a lock that has to be waited for.
        usage: what layers are used for.
        shared: where setup layers of other machines are.
    """

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        config: Config,
        output: Output,
        usage: Usage,
        shared: SharedCache | None = None,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._config = config
        self._output = output
        self._usage = usage
        self._shared = shared
        self._lock = threading.RLock()
        self._known: dict[str, Layer] = {}
        self._failed: dict[str, SetupError] = {}
        self._broken: set[str] = set()
        self._temporary: list[str] = []
        self._grown = False

    def get(self, kind: str, key: str, make: Callable[[], Layer]) -> Layer:
        """
        The layer of that key: known, cached, or made now by *make*.

        Raises:
            SetupError: *make* raised it, now or earlier in this session; a
                script that takes minutes to fail is not run for each test.
        """
        name = f"{kind}-{key}"
        with self._lock:
            layer = self._known.get(name)
            if layer is None:
                layer = self.once(name, lambda: self._cached_or_made(kind, key, make))
                self._known[name] = replace(layer, made=False)
            return layer

    def served(self, layers: Sequence[Layer]) -> None:
        """
        Count a workspace that stands on *layers*.
        """
        if self._config.cache != "off":
            for layer in layers:
                self._usage.note(layer.image)

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
        self, container: str, kind: str, key: str, marks: Marks, *, keep: bool = True
    ) -> Layer:
        """
        Make an image of *container*. The tag comes with it, so a tag means a
        complete layer. What it replaces, what is too old and what is over
        the budget is removed.
        """
        keep = keep and self._config.cache != "off"
        found = self._identity.labels(kind if keep else "temporary", **{labels.KEY: key})
        # An engine removes parents that have no tag together with their last child.
        name = f"{kind}-{key}" if keep else f"temporary-{secrets.token_hex(6)}"
        described = marks.labels()
        if not keep:
            # A sweep must be able to tell whether its session lives.
            described = {**described, **found}
        tag = f"{IMAGE}:{name}"
        before = self._engine.image(tag) if keep else None
        image = self._engine.commit(container, tag=tag, labels={**found, **described})
        layer = Layer(image.id, key, marks.head, marks.ca, made=True)
        if not keep:
            self._temporary.append(image.id)
            return layer
        if kind == "setup":
            self._engine.tag(image.id, f"{IMAGE}:cached")
        self._make_room(kind, marks.repo, image.id, before)
        if kind == "setup" and self._shared:
            self._shared.offer(image.id, key)
        return layer

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

    def distrust(self, image: str, why: str) -> bool:
        """
        Make the layer with that *image* anew, because no container starts
        from it. Its tag stays where it is until another takes it.

        Returns:
            Whether it is one of ours, and not distrusted already.
        """
        with self._lock:
            names = [name for name, layer in self._known.items() if layer.image == image]
            if not names or image in self._broken:
                return False
            self._broken.add(image)
            for name in names:
                del self._known[name]
            self._output.note(f"warning: the cached {names[0]} cannot be used, made anew: {why}")
            return True

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
        Remove the layers that only this session used, the topmost first, and
        what the cache has grown by over its budget.
        """
        with ExitStack() as removals:
            removals.callback(self._keep_to_budget)
            if self._shared:
                removals.callback(self._shared.close)
            for image in self._temporary:
                removals.callback(self._engine.remove_image, image)
            self._temporary = []

    def _cached_or_made(self, kind: str, key: str, make: Callable[[], Layer]) -> Layer:
        if self._config.cache == "off":
            return make()
        found = self._cached(kind, key)
        if found is not None:
            return found
        lock = cache_dir() / "locks" / f"{kind}-{key}.lock"
        with machine_lock(lock, f"the {kind} image {key}", self._output.note):
            return self._cached(kind, key) or self._fetched(kind, key) or make()

    def _cached(self, kind: str, key: str) -> Layer | None:
        image = self._engine.image(f"{IMAGE}:{kind}-{key}")
        if image is None or image.id in self._broken:
            return None
        if image.labels.get(labels.KIND) != kind or image.labels.get(labels.KEY) != key:
            self._output.note(
                f"warning: {IMAGE}:{kind}-{key} is another image than its tag says; made anew"
            )
            return None
        if kind != "clean" and is_old(image, self._config.cache_ttl):
            return None
        # What another worker of this run has made is new enough.
        anew = kind == "setup" and self._config.cache == "refresh"
        if anew and labels.created(image.labels) < self._config.started:
            return None
        return _layer(image, key)

    def _fetched(self, kind: str, key: str) -> Layer | None:
        if self._shared is None or kind != "setup" or self._config.cache == "refresh":
            return None
        image = self._shared.fetch(key)
        if image is None or image.id in self._broken:
            return None
        tag = f"{IMAGE}:{kind}-{key}"
        before = self._engine.image(tag)
        self._engine.tag(image.id, tag)
        self._shared.forget(key)
        self._make_room(kind, image.labels.get(labels.REPO, ""), image.id, before)
        return _layer(image, key)

    def _make_room(self, kind: str, repo: str, image: str, before: ImageInfo | None) -> None:
        engine, config = self._engine, self._config
        if before is not None and before.id != image:
            # Under another name it is somebody else's, and stays.
            replaced = engine.image(before.id)
            if replaced is not None and not replaced.tags:
                remove_image(engine, replaced)
        for old in engine.images({labels.KIND: kind, labels.REPO: repo}):
            if old.id != image and is_old(old, config.cache_ttl):
                remove_image(engine, old)
        self._grown = True

    def _keep_to_budget(self) -> None:
        if not self._grown:
            return
        size = self._config.cache_size
        # The newest are the last to go, and one test may need more than the budget.
        newest = {layer.image for layer in self._known.values()}
        for line in evict(self._engine, entries(self._engine, self._usage), size, newest):
            self._output.note(f"the cache is over {show_size(size)}: removed {line}")
        forget_gone(self._engine, self._usage)


def _layer(image: ImageInfo, key: str) -> Layer:
    about = image.labels
    return Layer(image.id, key, about.get(labels.HEAD, ""), about.get(labels.CA, ""))
