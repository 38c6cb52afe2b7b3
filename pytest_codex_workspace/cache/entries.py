"""The cache of an engine: its layers, their size and use, and the order of their removal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ..engine import labels
from ..engine.protocol import Engine, ImageInfo
from ..engine.sweep import remove_image
from ..text.printable import printable
from ..unpatched import clock
from .image_layers import with_layers
from .usage import Usage, Use

__all__ = [
    "KINDS",
    "Entry",
    "clear",
    "entries",
    "evict",
    "forget_missing",
    "is_old",
    "of_repository",
    "prune",
]

LayerKind = Literal["clean", "setup", "ready", "prepared"]

KINDS: tuple[LayerKind, ...] = ("clean", "setup", "ready", "prepared")
"""The kinds of cached layers. Each is based on one before it, not always the last."""

_CLOCK_SLACK = 60.0
"""Seconds that the clock of the machine on which an image was made may be ahead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One cached layer.

    Attributes:
        image: the engine's image.
        kind: `clean`, `setup`, `ready` or `prepared`.
        own: bytes that the removal of the layer would free.
        below: ids of the cached images on which the layer is based.
        use: how often and when the layer was used on this machine.
    """

    image: ImageInfo
    kind: LayerKind
    own: int
    below: tuple[str, ...]
    use: Use

    @property
    def key(self) -> str:
        """
        The content key of the layer.
        """
        return printable(self.image.labels.get(labels.KEY, ""))

    @property
    def repository(self) -> str:
        """
        The name of its repository.
        """
        # A label may be anybody's.
        return printable(self.image.labels.get(labels.NAME, "?"))

    @property
    def created(self) -> float:
        """
        When the layer was created, in seconds since the epoch.
        """
        return labels.created(self.image.labels)

    @property
    def shared(self) -> int:
        """
        Bytes of the layer that belong to other images, too.
        """
        return self.image.size - self.own

    @property
    def touched(self) -> float:
        """
        When the layer was last used or, if it never was, created.
        """
        return max(self.use.last, self.created)


def entries(engine: Engine, usage: Usage | None = None) -> list[Entry]:
    """
    Return every cached layer after the layers on which it is based. Without
    *usage*, their uses are unknown, and nothing is written on this machine.
    """
    wanted = (*KINDS, "base")
    listed = [one for one in engine.images({labels.KIND: None}) if _kind(one) in wanted]
    known = with_layers(engine, listed, remember=usage is not None)
    kinds = {one.id: _kind(one) for one in known if _kind(one) in KINDS}
    known.sort(key=lambda one: (len(one.layers), labels.created(one.labels)))
    # A fleet has thousands: each is looked up by what it is based on, and not compared with each.
    by_layers: dict[tuple[str, ...], list[ImageInfo]] = {}
    for image in known:
        by_layers.setdefault(image.layers, []).append(image)
    counts = sorted({len(one.layers) for one in known} - {0})
    found = []
    for image in known:
        if image.id not in kinds:
            continue
        shorter = (image.layers[:count] for count in counts if count < len(image.layers))
        below = [one for layers in shorter for one in by_layers.get(layers, ())]
        found.append(
            Entry(
                image,
                cast("LayerKind", kinds[image.id]),
                own=image.size - (below[-1].size if below else 0),
                below=tuple(one.id for one in below if one.id in kinds),
                use=usage.of(image.id) if usage else Use(),
            )
        )
    return found


def is_old(image: ImageInfo, ttl: float) -> bool:
    """
    Check whether *image* is older than *ttl* seconds, or from the future because a
    clock was wrong.
    """
    return not -_CLOCK_SLACK < clock.wall_time() - labels.created(image.labels) < ttl


def prune(engine: Engine, usage: Usage, *, ttl: float, size: int) -> list[str]:
    """
    Remove layers that are older than *ttl* seconds, then the layers above the budget
    of *size* bytes.

    Returns:
        One line for each removed tag.
    """
    removed = []
    for entry in reversed(entries(engine, usage)):
        if is_old(entry.image, ttl):
            removed += remove_image(engine, entry.image)
    removed += evict(engine, entries(engine, usage), size)
    forget_missing(engine, usage)
    return removed


def clear(engine: Engine, usage: Usage, repo: str | None = None) -> list[str]:
    """
    Remove every cached layer that is not in use.

    Args:
        engine: the engine that has the layers.
        usage: the record of uses, which forgets them.
        repo: the identity of the repository whose layers are removed; `None` for all.

    Returns:
        One line for each removed tag.
    """
    removed = [
        line
        for entry in reversed(of_repository(entries(engine, usage), repo))
        for line in remove_image(engine, entry.image)
    ]
    forget_missing(engine, usage)
    return removed


def of_repository(found: Sequence[Entry], repo: str | None) -> list[Entry]:
    """
    Return the layers of the repository with the identity *repo*, in their order; all for `None`.
    """
    return [one for one in found if repo in (None, one.image.labels.get(labels.REPO))]


def forget_missing(engine: Engine, usage: Usage) -> None:
    """
    Forget the uses of layers that are gone.
    """
    usage.forget(one.id for one in engine.images({labels.KIND: None}))


def evict(
    engine: Engine, found: Sequence[Entry], size: int, protected: Collection[str] = ()
) -> list[str]:
    """
    Remove layers, the least recently used first, until the others take at most *size* bytes.

    Layers that a container uses are kept. Layers on which another layer is based are
    kept too, because their removal would free nothing.

    Args:
        engine: the engine that has the layers.
        found: the layers, as returned by `entries`.
        size: the budget in bytes.
        protected: ids of images that are kept in any case.

    Returns:
        One line for each removed tag.
    """
    total = sum(entry.own for entry in found)
    if total <= size:
        return []
    used = {container.image for container in engine.containers({})} | set(protected)
    left = {entry.image.id: entry for entry in found}
    removed: list[str] = []
    while total > size:
        free = [one for one in _without_dependents(left.values()) if one.image.id not in used]
        if not free:
            break
        oldest = min(free, key=lambda one: one.touched)
        lines = remove_image(engine, oldest.image)
        if lines:
            total -= oldest.own
            removed += lines
        else:
            # A container was started from this image just now.
            used.add(oldest.image.id)
            continue
        del left[oldest.image.id]
    return removed


def _kind(image: ImageInfo) -> str:
    return image.labels[labels.KIND]


def _without_dependents(found: Iterable[Entry]) -> list[Entry]:
    found = list(found)
    below = {identity for entry in found for identity in entry.below}
    return [entry for entry in found if entry.image.id not in below]
