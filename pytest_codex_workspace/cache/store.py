"""Where layers are kept: each is found by its key, or built once and tagged last."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..codex import IMAGE
from ..engine import labels
from ..engine.protocol import Engine, ImageInfo
from ..engine.session_id import Identity, mark_of
from ..engine.sweep import remove_image
from ..errors import CacheMiss, EngineError, EngineUnavailable, SetupError
from ..host.dirs import cache_dir
from ..host.locks import machine_lock
from ..images.content_key import fingerprint
from ..options.config import Config
from ..reporting.output import Output
from ..text.loggers import logger_of
from ..text.option_names import spell_option
from ..text.units import show_duration, show_size
from ..unpatched import clock
from .entries import LayerKind, entries, evict, forget_missing, is_old
from .nearest import describe_difference
from .neighbours import Neighbours
from .origins import Origins
from .registry import SharedCache
from .usage import Usage

__all__ = ["Build", "Layer", "LayerLabels", "LayerStore", "Recipe"]

_LOG = logger_of(__name__)


@dataclass(frozen=True, slots=True)
class Layer:
    """
    An image that a workspace or another layer can start from.

    Attributes:
        kind: `clean`, `setup`, `ready` or `prepared`.
        image: id of the image.
        key: what it is found by.
        head: the commit that its project directory stands at.
        ca: digest of the certificate authority that it trusts.
        made: whether the call that returned it built it.
        single_use: whether it was built for one workspace and ends with it.
        log_path: what the script printed, if it was built in this session.
        record: digest of the record of its scripts; empty if there is none.
        created: when it was made, in seconds since the epoch; 0 if that is unknown.
    """

    kind: LayerKind
    image: str
    key: str
    head: str
    ca: str = ""
    made: bool = False
    single_use: bool = False
    log_path: Path | None = None
    record: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerLabels:
    """
    What the labels of a layer's image say about it.

    Attributes:
        repo: the repository's identity.
        name: the repository's name.
        head: the commit that its project directory stands at.
        ca: digest of the certificate authority that it trusts.
        parts: what its key was made of, of which labels get the fingerprint.
        origin: the clone that it was made from, which no label has.
    """

    repo: str
    name: str
    head: str
    ca: str = ""
    parts: Mapping[str, object] | None = None
    origin: str = ""

    def to_dict(self) -> dict[str, str]:
        """
        Return the labels. Who built the layer is not for others to know.
        """
        return {
            labels.REPO: self.repo,
            labels.NAME: self.name,
            labels.HEAD: self.head,
            labels.CA: self.ca,
            labels.PARTS: json.dumps(fingerprint(self.parts) if self.parts else {}),
            labels.SESSION: "",
            labels.PID: "",
        }


@dataclass(frozen=True, slots=True)
class Build:
    """
    A container whose files are to become a layer.

    Attributes:
        container: id of the container.
        log_path: what the script in it printed.
        record: digest of the record of its scripts, for the image's label.
        ends: whether the container is only removed afterwards.
    """

    container: str
    log_path: Path | None = None
    record: str = ""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    How one layer is built.

    Attributes:
        kind: `clean`, `setup`, `ready` or `prepared`.
        key: what the layer is found by.
        labels: what its image says about it.
        below: the layer that it is built on, or the recipe of that layer;
            `None` for the base image.
        build: called with the layer below; yields the container to commit, and
            stops the container afterwards.
    """

    kind: LayerKind
    key: str
    labels: LayerLabels
    below: Recipe | Layer | None
    build: Callable[[Layer | None], AbstractContextManager[Build]]

    @property
    def name(self) -> str:
        """
        The image's tag.
        """
        return f"{self.kind}-{self.key}"


class LayerStore:
    """
    Layers of one session, kept as images of the engine.

    Args:
        engine: keeps the images.
        identity: the session.
        config: the cache's mode, age limit and size limit. `refresh` builds each
            setup layer once more in a run; with `off` no layer outlives the
            session; with `require` no setup layer is built.
        output: shows who holds a lock that has to be waited for.
        usage: counts the uses of layers.
        shared: has the setup layers of other machines.
        neighbours: have those of the other engines of this run.
    """

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        config: Config,
        output: Output,
        usage: Usage,
        shared: SharedCache | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._config = config
        self._output = output
        self._usage = usage
        self._shared = shared
        self._neighbours = neighbours
        self._lock = threading.RLock()
        self._known: dict[str, Layer] = {}
        self._failed: dict[str, SetupError] = {}
        self._broken: set[str] = set()
        self._grown: set[tuple[str, str]] = set()
        self._origins = Origins(cache_dir() / "origins")

    def ensure(self, recipe: Recipe) -> Layer:
        """
        Return the layer of *recipe*: known in this session, found on the
        engine, fetched from the shared cache, or built now.

        Raises:
            CacheMiss: a setup layer is missing, and the cache mode is `require`.
            SetupError: a script failed, now or earlier in this session: what
                takes minutes to fail does not run for each test.
        """
        with self._lock:
            known = self._known.get(recipe.name)
            if known is not None:
                _LOG.debug("hit %s: known in this session", recipe.name)
                return known
            if recipe.name in self._failed:
                raise self._failed[recipe.name].with_traceback(None)
            try:
                layer = self._find_or_build(recipe)
            except SetupError as error:
                self._failed[recipe.name] = error
                raise
            if not layer.single_use:
                self._known[recipe.name] = replace(layer, made=False)
            return layer

    def rebuild(self, recipe: Recipe) -> Layer:
        """
        Build the layer of *recipe* now, in place of one that is there.

        Raises:
            CacheMiss: it is a setup layer, and the cache mode is `require`.
        """
        with self._lock:
            if self._config.cache == "off":
                return self._build(recipe)
            with self._building(recipe):
                layer = self._build(recipe)
            self._failed.pop(recipe.name, None)
            self._known[recipe.name] = replace(layer, made=False)
            return layer

    def forget_missing(self) -> bool:
        """
        Forget layers whose images were removed from the engine, so that they
        are looked up again.

        Returns:
            Whether there were any.
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

    def mark_broken(self, image: str, why: str) -> bool:
        """
        Let the layer with that *image* be built again, because no container
        starts from it. Its tag stays until the new layer takes the tag.

        Returns:
            Whether it is a known layer that was not marked before.
        """
        with self._lock:
            names = [name for name, layer in self._known.items() if layer.image == image]
            if not names or image in self._broken:
                return False
            self._broken.add(image)
            for name in names:
                del self._known[name]
            _LOG.debug("%s is broken: %s", names[0], why)
            self._output.note(f"warning: the cached {names[0]} is broken and is rebuilt: {why}")
            return True

    def record_use(self, layers: Iterable[Layer]) -> None:
        """
        Count a workspace that stands on *layers*.
        """
        if self._config.cache != "off":
            for layer in layers:
                self._usage.note(layer.image)

    def discard(self, layers: Iterable[Layer]) -> None:
        """
        Remove the layers that were built for one workspace, the topmost first.
        What is still in use is removed when the store is closed.
        """
        for layer in layers:
            if layer.single_use:
                with suppress(EngineError, EngineUnavailable):
                    self._engine.remove_image(layer.image)

    def close(self) -> None:
        """
        Remove the layers that only this session used, the topmost first, and
        what the cache has grown by over its size limit.
        """
        with ExitStack() as removals:
            removals.callback(self._keep_to_size)
            if self._shared:
                removals.callback(self._shared.close)
            for image in self._temporary():
                removals.callback(self._engine.remove_image, image.id)

    def _find_or_build(self, recipe: Recipe) -> Layer:
        if self._config.cache == "off":
            _LOG.debug("miss %s: the cache is off", recipe.name)
            return self._build(recipe)
        found = self._find(recipe)
        if found is not None:
            return found
        with self._building(recipe):
            return self._find(recipe) or self._fetch(recipe) or self._build(recipe)

    def _building(self, recipe: Recipe) -> AbstractContextManager[None]:
        """
        Hold the lock for building a layer. That for a setup is for all engines, because one of them
        can copy it from another.
        """
        name = recipe.name
        if recipe.kind != "setup":
            name += f"-{mark_of(self._engine)}"
        lock = cache_dir() / "locks" / f"{name}.lock"
        return machine_lock(lock, f"the {recipe.kind} image {recipe.key}", self._output.note)

    def _find(self, recipe: Recipe) -> Layer | None:
        kind, key = recipe.kind, recipe.key
        image = self._engine.image(f"{IMAGE}:{recipe.name}")
        if image is None:
            self._log_difference(recipe)
            return None
        if image.id in self._broken:
            _LOG.debug("miss %s: no container starts from its image", recipe.name)
            return None
        if image.labels.get(labels.KIND) != kind or image.labels.get(labels.KEY) != key:
            self._output.note(
                f"warning: the tag {IMAGE}:{recipe.name} points to another image; "
                "the layer is rebuilt"
            )
            return None
        if kind != "clean" and is_old(image, self._config.cache_ttl):
            limit = show_duration(self._config.cache_ttl)
            _LOG.debug("miss %s: its image is older than %s", recipe.name, limit)
            return None
        # With `refresh`, what another worker of this run has built is new enough.
        refresh = kind == "setup" and self._config.cache == "refresh"
        if refresh and labels.created(image.labels) < self._config.started:
            _LOG.debug("miss %s: refresh, and its image is from before this run", recipe.name)
            return None
        if kind == "setup":
            self._warn_of_other_clone(image, recipe)
        _LOG.debug("hit %s: image %.19s on the engine", recipe.name, image.id)
        return _layer_found(image, recipe)

    def _log_difference(self, recipe: Recipe) -> None:
        """
        Log which part of its key keeps a layer from being found. The engine is only asked if
        somebody listens.
        """
        if _LOG.isEnabledFor(logging.DEBUG):
            parts = recipe.labels.parts
            own = fingerprint(parts) if parts else {}
            images = self._engine.images({labels.KIND: recipe.kind})
            why = describe_difference(recipe.kind, own, recipe.labels.to_dict(), images)
            _LOG.debug("miss %s: no image has this key; %s", recipe.name, why)

    def _warn_of_other_clone(self, image: ImageInfo, recipe: Recipe) -> None:
        made, own = self._origins.of(image.id), recipe.labels.origin
        if made and own and made != own:
            self._output.note(
                f"the cached setup of {recipe.labels.name} was made from another clone, {made}; "
                f"{spell_option('cache-scope')} keeps clones apart"
            )

    def _fetch(self, recipe: Recipe) -> Layer | None:
        if recipe.kind != "setup" or self._config.cache == "refresh":
            return None
        return self._fetch_shared(recipe) or self._copy(recipe)

    def _copy(self, recipe: Recipe) -> Layer | None:
        if self._neighbours is None:
            return None
        before = self._engine.image(f"{IMAGE}:{recipe.name}")
        image = self._neighbours.fetch(recipe.key)
        if image is None or image.id in self._broken:
            return None
        repo = image.labels.get(labels.REPO, "")
        _LOG.debug("hit %s: copied from another engine of this run", recipe.name)
        self._remove_superseded(recipe.kind, repo, image.id, before)
        return _layer_found(image, recipe)

    def _fetch_shared(self, recipe: Recipe) -> Layer | None:
        if self._shared is None:
            return None
        image = self._shared.fetch(recipe.key)
        if image is None or image.id in self._broken:
            return None
        tag = f"{IMAGE}:{recipe.name}"
        before = self._engine.image(tag)
        self._engine.tag(image.id, tag)
        self._shared.forget(recipe.key)
        _LOG.debug("hit %s: fetched from the shared cache", recipe.name)
        repo = image.labels.get(labels.REPO, "")
        self._remove_superseded(recipe.kind, repo, image.id, before)
        return _layer_found(image, recipe)

    def _build(self, recipe: Recipe) -> Layer:
        if self._config.cache == "require" and recipe.kind == "setup":
            raise CacheMiss(
                f"{spell_option('cache', 'require')}, and there is no image "
                f"{IMAGE}:{recipe.name} for {recipe.labels.name} younger than "
                f"{show_duration(self._config.cache_ttl)}. "
                "`codex-workspace cache explain` says why. Run once with "
                f"{spell_option('cache', 'auto')} to build it."
            )
        below = recipe.below
        _LOG.debug("build %s", recipe.name)
        with recipe.build(self.ensure(below) if isinstance(below, Recipe) else below) as build:
            if self._config.cache == "off":
                return self._commit_temporary(build, recipe)
            return self._commit(build, recipe)

    def _commit(self, build: Build, recipe: Recipe) -> Layer:
        """
        Make a cached image of *build*. The tag comes with it, so a tag means a
        complete layer. What it replaces and what is too old is removed.
        """
        engine, kind = self._engine, recipe.kind
        tag = f"{IMAGE}:{recipe.name}"
        before = engine.image(tag)
        owned = self._identity.labels(kind, **{labels.KEY: recipe.key})
        about = {**owned, **recipe.labels.to_dict(), labels.RECORD: build.record}
        with self._saving(recipe):
            image = engine.commit(build.container, tag=tag, labels=about, ends=build.ends)
        if kind == "setup":
            engine.tag(image.id, f"{IMAGE}:cached")
            self._origins.note(image.id, recipe.labels.origin)
        self._remove_superseded(kind, recipe.labels.repo, image.id, before)
        if kind == "setup" and self._shared:
            self._shared.push_later(image.id, recipe.key)
        return _layer_built(image, recipe, build)

    def _commit_temporary(self, build: Build, recipe: Recipe) -> Layer:
        """
        Make an image of *build* that ends with this session.
        """
        # A sweep must be able to tell whether the session is alive.
        owned = self._identity.labels("temporary", **{labels.KEY: recipe.key})
        # An engine removes parents that have no tag together with their last child.
        tag = f"{IMAGE}:temporary-{secrets.token_hex(6)}"
        about = {**recipe.labels.to_dict(), **owned, labels.RECORD: build.record}
        with self._saving(recipe):
            image = self._engine.commit(build.container, tag=tag, labels=about, ends=build.ends)
        return replace(_layer_built(image, recipe, build), single_use=recipe.kind != "clean")

    def _saving(self, recipe: Recipe) -> AbstractContextManager[object]:
        # An engine says nothing while it copies many files.
        title = f"saving the {recipe.kind} image of {recipe.labels.name}"
        return self._output.step(title, announced=False)

    def _temporary(self) -> list[ImageInfo]:
        """
        Return the images that end with this session, the lowest first. The
        engine knows those whose commit was interrupted, too.
        """
        if self._config.cache != "off":
            return []
        wanted = {labels.SESSION: self._identity.id, labels.KIND: "temporary"}
        return sorted(self._engine.images(wanted), key=lambda one: labels.created(one.labels))

    def _remove_superseded(
        self, kind: str, repo: str, image: str, before: ImageInfo | None
    ) -> None:
        """
        Remove the image whose tag *image* has taken. The end of the session looks for others.
        """
        engine = self._engine
        if before is not None and before.id != image:
            # An image with another name belongs to the user, and stays.
            replaced = engine.image(before.id)
            if replaced is not None and not replaced.tags:
                remove_image(engine, replaced)
        self._grown.add((kind, repo))

    def _keep_to_size(self) -> None:
        """
        Remove what is too old of that of which there is a newer one, then what is over the limit.
        Once for a session: an engine lists its images by reading each of them.
        """
        if not self._grown:
            return
        size = self._config.cache_size
        # The newest are the last to go, and one test may need more than the limit.
        newest = {layer.image for layer in self._known.values()}
        kept = []
        for entry in reversed(entries(self._engine, self._usage)):
            superseded = (entry.kind, entry.image.labels.get(labels.REPO, "")) in self._grown
            old = superseded and is_old(entry.image, self._config.cache_ttl)
            in_use = entry.image.id in newest
            if not old or in_use or not remove_image(self._engine, entry.image):
                kept.append(entry)
        for line in evict(self._engine, kept[::-1], size, newest):
            self._output.note(f"the cache is over {show_size(size)}: removed {line}")
        forget_missing(self._engine, self._usage)


def _layer_found(image: ImageInfo, recipe: Recipe) -> Layer:
    about = image.labels
    head, ca = about.get(labels.HEAD, ""), about.get(labels.CA, "")
    record = about.get(labels.RECORD, "")
    return Layer(
        *(recipe.kind, image.id, recipe.key, head, ca),
        record=record,
        created=labels.created(about),
    )


def _layer_built(image: ImageInfo, recipe: Recipe, build: Build) -> Layer:
    about = recipe.labels
    return Layer(
        *(recipe.kind, image.id, recipe.key, about.head, about.ca),
        made=True,
        log_path=build.log_path,
        record=build.record,
        created=clock.wall_time(),
    )
