"""Removing what ended sessions left behind."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from ..codex import IMAGE
from ..errors import EngineError
from ..unpatched import clock
from . import labels
from .protocol import Engine, ImageInfo
from .session_id import owner_is_gone

__all__ = ["left_behind", "remove_image", "remove_images", "remove_session", "sweep"]

_FOREIGN_AGE = 24 * 3600.0
"""Seconds after which an object of a session on another machine counts as left behind."""

_PATIENCE = 3.0
"""Seconds to wait until the engine has noticed that a network has no more containers."""


def sweep(engine: Engine, *, everything: bool = False) -> list[str]:
    """
    Remove containers, networks and temporary images of sessions that have ended.

    Cached images and the objects of running sessions are kept.

    Args:
        engine: the engine to clean up.
        everything: also remove the objects of running sessions.

    Returns:
        One line for each removed object.
    """
    removed: list[str] = []

    def left(found: Mapping[str, str]) -> bool:
        return everything or _is_left(found)

    for container in engine.containers({labels.SESSION: None}):
        if left(container.labels):
            engine.remove(container.id)
            removed.append(f"container {container.name}")
    for network in engine.networks({labels.SESSION: None}):
        if left(network.labels):
            try:
                engine.remove_network(network.id)
            except EngineError:
                # Its containers are just being removed. The next sweep removes the network.
                continue
            removed.append(f"network {network.name}")
    for image in engine.images({labels.KIND: "temporary"}):
        if left(image.labels):
            removed += remove_image(engine, image)
    return removed


def left_behind(engine: Engine) -> list[str]:
    """
    Return one line for each object that `sweep` would remove. Nothing is removed.
    """
    objects: list[tuple[str, Mapping[str, str]]] = [
        *((f"container {c.name}", c.labels) for c in engine.containers({labels.SESSION: None})),
        *((f"network {n.name}", n.labels) for n in engine.networks({labels.SESSION: None})),
        *(
            (f"image {', '.join(i.tags) or i.id}", i.labels)
            for i in engine.images({labels.KIND: "temporary"})
        ),
    ]
    return [name for name, found in objects if _is_left(found)]


def remove_session(engine: Engine, session: str) -> list[str]:
    """
    Remove every container and network of one session, even if its start has failed.

    Returns:
        One line for each network that the engine refuses to remove although no
        container uses it. Engines sometimes miscount the containers.

    Raises:
        EngineError: a container could not be removed.
    """
    containers = engine.containers({labels.SESSION: session})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: engine.remove(one.id), containers))
    networks = engine.networks({labels.SESSION: session})
    return [text for network in networks if (text := _remove_network(engine, network.id))]


def _remove_network(engine: Engine, network: str) -> str | None:
    """
    Remove a network without containers. Return the engine's message if it refuses.
    """
    deadline = clock.monotonic() + _PATIENCE
    while True:
        try:
            engine.remove_network(network)
        except EngineError as error:
            if clock.monotonic() > deadline:
                return str(error)
            clock.sleep(0.1)
        else:
            return None


def remove_images(engine: Engine, wanted: Mapping[str, str | None]) -> list[str]:
    """
    Remove the images with the labels *wanted*, except those in use.

    Returns:
        One line for each removed image.
    """
    return [line for image in engine.images(wanted) for line in remove_image(engine, image)]


def keep_newest(engine: Engine, kind: str, number: int) -> None:
    """
    Remove all images of *kind* but the newest, except those in use.

    Args:
        engine: has the images.
        kind: value of the label for the kind.
        number: how many are kept.
    """
    found = engine.images({labels.KIND: kind})
    found.sort(key=lambda one: labels.created(one.labels))
    for image in found[:-number]:
        remove_image(engine, image)


def remove_image(engine: Engine, image: ImageInfo) -> list[str]:
    """
    Remove one image with our tags, unless it is in use. An image that the user has
    tagged stays under that tag.

    Returns:
        One line for each removed tag.
    """
    removed: list[str] = []
    ending = f":{image.labels.get(labels.KIND)}-{image.labels.get(labels.KEY)}"
    ours = [tag for tag in image.tags if tag.startswith(IMAGE) or tag.endswith(ending)]
    for name in ours if image.tags else (image.id,):
        try:
            engine.remove_image(name)
        except EngineError:
            # A container uses the image, or another image is built on it.
            break
        removed.append(f"image {name}")
    return removed


def _is_left(found: Mapping[str, str]) -> bool:
    gone = owner_is_gone(found.get(labels.PID, ""))
    if gone is None:
        return clock.wall_time() - labels.created(found) > _FOREIGN_AGE
    return gone
