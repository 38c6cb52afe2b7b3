"""What is in the cache of an engine: its layers, what each takes and serves, and which go first."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, cast

from . import labels
from .engine.protocol import Engine, ImageInfo
from .sweep import remove_image
from .usage import Usage, Use

__all__ = ["KINDS", "Entry", "clear", "entries", "evict", "forget_gone", "is_old", "prune"]

Kind = Literal["clean", "setup", "ready"]

KINDS: tuple[Kind, ...] = ("clean", "setup", "ready")
"""The kinds of layers that are kept, each standing on the one before it."""

_CLOCK_SLACK = 60.0
"""Seconds that the clock of whoever made an image may be ahead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One cached layer.

    Attributes:
        image: the engine's image.
        kind: `clean`, `setup` or `ready`.
        own: bytes that its removal would free.
        below: ids of the cached images it stands on.
        use: how often and when it was used on this machine.
    """

    image: ImageInfo
    kind: Kind
    own: int
    below: tuple[str, ...]
    use: Use

    @property
    def key(self) -> str:
        """
        What it is found by.
        """
        return self.image.labels.get(labels.KEY, "")

    @property
    def repository(self) -> str:
        """
        The name of its repository.
        """
        return self.image.labels.get(labels.NAME, "?")

    @property
    def created(self) -> float:
        """
        Seconds since the epoch.
        """
        return labels.created(self.image.labels)

    @property
    def shared(self) -> int:
        """
        Bytes of it that other images have, too.
        """
        return self.image.size - self.own

    @property
    def touched(self) -> float:
        """
        When it was last used or, if it never was, made.
        """
        return max(self.use.last, self.created)


def entries(engine: Engine, usage: Usage | None = None) -> list[Entry]:
    """
    Every cached layer, those that stand on others behind them; without
    *usage* as if none had ever been used.
    """
    wanted = (*KINDS, "base")
    listed = [one for one in engine.images({labels.KIND: None}) if _kind(one) in wanted]
    with ThreadPoolExecutor(8) as pool:
        # A list does not tell layers. What is gone by now is not in the cache.
        looked_up = list(pool.map(lambda one: engine.image(one.id), listed))
    known = [one for one in looked_up if one is not None]
    kinds = {one.id: _kind(one) for one in known if _kind(one) in KINDS}
    known.sort(key=lambda one: (len(one.layers), labels.created(one.labels)))
    found = []
    for image in known:
        if image.id not in kinds:
            continue
        below = [one for one in known if _stands_on(image, one)]
        found.append(
            Entry(
                image,
                cast("Kind", kinds[image.id]),
                own=image.size - (below[-1].size if below else 0),
                below=tuple(one.id for one in below if one.id in kinds),
                use=usage.of(image.id) if usage else Use(),
            )
        )
    return found


def is_old(image: ImageInfo, ttl: float) -> bool:
    """
    Whether *image* was made longer ago than *ttl* seconds, or in the future by
    a clock that was wrong.
    """
    return not -_CLOCK_SLACK < time.time() - labels.created(image.labels) < ttl


def prune(engine: Engine, usage: Usage, *, ttl: float, size: int) -> list[str]:
    """
    Remove what is too old to be used, then what is over the budget.

    Returns:
        One line for each tag that is gone.
    """
    removed = []
    for entry in reversed(entries(engine, usage)):
        if is_old(entry.image, ttl):
            removed += remove_image(engine, entry.image)
    removed += evict(engine, entries(engine, usage), size)
    forget_gone(engine, usage)
    return removed


def clear(engine: Engine, usage: Usage) -> list[str]:
    """
    Remove every cached layer that is not in use.

    Returns:
        One line for each tag that is gone.
    """
    removed = [
        line
        for entry in reversed(entries(engine, usage))
        for line in remove_image(engine, entry.image)
    ]
    forget_gone(engine, usage)
    return removed


def forget_gone(engine: Engine, usage: Usage) -> None:
    """
    Drop what is known of the uses of layers that are no more.
    """
    usage.forget(one.id for one in engine.images({labels.KIND: None}))


def evict(
    engine: Engine, found: Sequence[Entry], size: int, protected: Collection[str] = ()
) -> list[str]:
    """
    Remove layers, the least recently used first, until the rest takes no more than *size* bytes.

    What a container uses stays, and so does what another layer stands on: its
    removal would free nothing.

    Args:
        engine: where they are.
        found: what `entries` returned.
        size: the budget in bytes.
        protected: ids of images that stay in any case.

    Returns:
        One line for each tag that is gone.
    """
    total = sum(entry.own for entry in found)
    if total <= size:
        return []
    used = {container.image for container in engine.containers({})} | set(protected)
    left = {entry.image.id: entry for entry in found}
    removed: list[str] = []
    while total > size:
        free = [one for one in _topmost(left.values()) if one.image.id not in used]
        if not free:
            break
        oldest = min(free, key=lambda one: one.touched)
        lines = remove_image(engine, oldest.image)
        if lines:
            total -= oldest.own
            removed += lines
        else:
            # A container was started from it just now.
            used.add(oldest.image.id)
            continue
        del left[oldest.image.id]
    return removed


def _kind(image: ImageInfo) -> str:
    return image.labels[labels.KIND]


def _topmost(found: Iterable[Entry]) -> list[Entry]:
    found = list(found)
    below = {identity for entry in found for identity in entry.below}
    return [entry for entry in found if entry.image.id not in below]


def _stands_on(image: ImageInfo, other: ImageInfo) -> bool:
    count = len(other.layers)
    return 0 < count < len(image.layers) and image.layers[:count] == other.layers
