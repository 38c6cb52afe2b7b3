"""What is logged of the life of each container, with its id, its kind and its name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..text.loggers import logger_of
from . import labels

if TYPE_CHECKING:
    from .protocol import ContainerSpec, ImageInfo

__all__ = ["note_committed", "note_created", "note_removed", "note_started", "note_stopped"]

_LOG = logger_of(__name__)
_REMEMBERED = 1000
_called: dict[str, str] = {}
"""Kind and name of containers by id, of the newest, while somebody listens."""


def note_created(container: str, spec: ContainerSpec) -> None:
    """
    Log that a container was created.
    """
    if not _LOG.isEnabledFor(logging.DEBUG):
        return
    while len(_called) >= _REMEMBERED:
        # Other threads add to it, so it is not iterated over.
        _called.pop(next(iter(tuple(_called))), None)
    _called[container] = f"{spec.labels.get(labels.KIND, 'container')} {spec.name}"
    _note("created", container, f"from {spec.image}, network {spec.network}")


def note_started(container: str) -> None:
    """
    Log that a container was started.
    """
    _note("started", container)


def note_stopped(container: str) -> None:
    """
    Log that the input of a container was ended, with which its first process ends.
    """
    _note("stopped", container, "its input has ended")


def note_committed(container: str, image: ImageInfo, tag: str | None) -> None:
    """
    Log that an image was made of a container.
    """
    if _LOG.isEnabledFor(logging.DEBUG):
        _note("committed", container, f"as {tag or 'no name'}, image {_short(image.id)}")


def note_removed(container: str) -> None:
    """
    Log that a container is gone.
    """
    _note("removed", container)


def _note(what: str, container: str, more: str = "") -> None:
    if _LOG.isEnabledFor(logging.DEBUG):
        about = ", ".join(one for one in (_called.get(container, ""), more) if one)
        _LOG.debug("%s container %s%s", what, _short(container), f" ({about})" if about else "")


def _short(identity: str) -> str:
    return identity.removeprefix("sha256:")[:12]
