"""The state of the fake engine."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from pytest_codex_workspace.engine.protocol import ContainerSpec, NetworkInfo
from pytest_codex_workspace.errors import EngineError

if TYPE_CHECKING:
    import socket

    from .filetree import FileTree

__all__ = ["Container", "FakeState", "Image", "Run", "full_name", "refusal"]

Run = Callable[[ContainerSpec, BinaryIO, BinaryIO], int]
"""Runs a container: takes spec, standard input and standard output, returns the exit code."""


@dataclass(slots=True)
class Image:
    """
    An image; `parent` is the id of the image it was committed from, `diff_ids` are the layers
    of one that was loaded.
    """

    id: str
    labels: dict[str, str]
    files: FileTree
    parent: str = ""
    tags: list[str] = field(default_factory=list)
    damaged: bool = False
    on_build: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Container:
    """
    A container; `client` and `inside` are the two ends of its stream, `number`
    ends its addresses.
    """

    id: str
    spec: ContainerSpec
    image: str
    labels: dict[str, str]
    files: FileTree
    networks: list[str]
    client: socket.socket
    inside: socket.socket
    number: int
    state: str = "created"
    exit_code: int | None = None
    thread: threading.Thread | None = None


class FakeState:
    """
    The objects of a fake engine, and one lock for all of them.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        # Ids are the same in every fake engine, but not what has them.
        self._host = f"fake-{secrets.token_hex(8)}"
        self._images: dict[str, Image] = {}
        self._steps_done: set[tuple[object, ...]] = set()
        self._containers: dict[str, Container] = {}
        self._networks = {"bridge": NetworkInfo(self._new_id(), "bridge")}

    def _new_id(self) -> str:
        return hashlib.sha256(str(next(self._numbers)).encode()).hexdigest()

    def _find_image(self, reference: str) -> Image | None:
        for image in self._images.values():
            if full_name(reference) in image.tags or reference in (image.id, image.id[7:]):
                return image
        return None

    def _require_image(self, reference: str, what: str) -> Image:
        image = self._find_image(reference)
        if image is None:
            words = f"No such image: {reference}"
            raise refusal(what, words, remedy="Build, import or pull the image first.")
        return image

    def _find_container(self, name: str) -> Container | None:
        by_name = (one for one in self._containers.values() if one.spec.name == name)
        return self._containers.get(name) or next(by_name, None)

    def _require_container(self, name: str, what: str) -> Container:
        container = self._find_container(name)
        if container is None:
            raise refusal(what, f"No such container: {name}")
        return container

    def _find_network(self, name: str) -> NetworkInfo | None:
        by_id = (one for one in self._networks.values() if one.id == name)
        return self._networks.get(name) or next(by_id, None)


def refusal(what: str, words: str, remedy: str = "") -> EngineError:
    """
    Return the error of an engine that refuses.
    """
    return EngineError(f"The container engine could not {what}: {words}", remedy=remedy)


def full_name(reference: str) -> str:
    """
    Return *reference* with its tag.
    """
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
