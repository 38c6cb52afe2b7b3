"""What the engine knows, as files: images, tags, layers, containers and networks.

Any number of processes use one directory. A record is written beside its place and moved there, so
readers need no lock; what removes or replaces holds the one of the directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...text.loggers import logger_of
from ...unpatched import clock
from ..calls import timed_call
from ..protocol import ImageInfo
from .runner.removal import discard_tree

__all__ = ["Image", "Store", "full_name"]

_LOG = logger_of(__name__)

_FOLDERS = (
    "builds",
    "containers",
    "digests",
    "images",
    "layers",
    "names",
    "networks",
    "oom",
    "sizes",
    "tags",
    "trash",
)
_HUB = ("docker.io/library/", "docker.io/")

_LONGEST = 24 * 3600.0
"""Seconds after which nothing can still be in the making."""


@dataclass(frozen=True, slots=True)
class Image:
    """
    An image.

    Attributes:
        layers: the names of its layers, the lowest first.
        config: `Env`, `Cmd`, `Entrypoint`, `WorkingDir`, `User`, `Labels` and `OnBuild`, as OCI
            images have them.
        architecture: such as `amd64`.
        digests: the names with digests under which registries have it.
        hidden: whether it is a step of a build, which nobody asked for.
        id: its id; made from all of the above unless it is given.
    """

    layers: tuple[str, ...]
    config: Mapping[str, Any]
    architecture: str
    digests: tuple[str, ...] = ()
    hidden: bool = False
    id: str = field(default="")

    @property
    def labels(self) -> dict[str, str]:
        """
        The labels.
        """
        return dict(self.config.get("Labels") or {})


class Store:
    """
    The directory of an engine.

    Args:
        root: where it is; made if it is missing.
        discard: removes a directory, its first argument, by way of its second, in the trash.
    """

    def __init__(self, root: Path, discard: Callable[[str, str], None] = discard_tree) -> None:
        self.root = root
        self._discard = discard
        for name in _FOLDERS:
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """
        Let no other process remove or replace anything for the time of the block.
        """
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            timed_call(
                _LOG, lambda: fcntl.flock(descriptor, fcntl.LOCK_EX), "lock", f"{self.root}/lock"
            )
            yield
        finally:
            os.close(descriptor)

    # Records.

    def read(self, folder: str, name: str) -> dict[str, Any] | None:
        """
        Return a record; `None` if there is none.
        """
        return read_json(self.root / folder / f"{name}.json")

    def write(self, folder: str, name: str, record: Mapping[str, Any]) -> None:
        """
        Write a record.
        """
        write_json(self.root / folder / f"{name}.json", record)

    # Images.

    def add_image(self, image: Image) -> Image:
        """
        Keep an image, and return it with its id.
        """
        if not image.id:
            about = json.dumps({**asdict(image), "nonce": secrets.token_hex(8)}, sort_keys=True)
            image = replace(image, id=f"sha256:{hashlib.sha256(about.encode()).hexdigest()}")
        self.write("images", image.id.removeprefix("sha256:"), asdict(image))
        return image

    def find_image(self, reference: str) -> Image | None:
        """
        Return the image that a tag, a digest or an id names.
        """
        if "@" in reference:
            every = self.every_image()
            return next((one for one in every if reference in one.digests), None)
        bare = reference.removeprefix("sha256:")
        if set(bare) <= set("0123456789abcdef"):
            if len(bare) == 64:
                return self._image(bare)
            if len(bare) >= 12:
                found = [one.stem for one in (self.root / "images").glob(f"{bare}*.json")]
                if len(found) == 1:
                    return self._image(found[0])
        with suppress(OSError):
            name = (self.root / "tags" / _quoted(full_name(reference))).read_text("ascii")
            return self._image(name)
        return None

    def _image(self, name: str) -> Image | None:
        about = self.read("images", name)
        if about is None:
            return None
        about |= {"layers": tuple(about["layers"]), "digests": tuple(about["digests"])}
        return Image(**about)

    def every_image(self) -> list[Image]:
        """
        Return all images, the hidden ones too.
        """
        names = _names(self.root / "images")
        every = (self._image(name[:-5]) for name in names if name.endswith(".json"))
        return [image for image in every if image]

    def tags(self) -> dict[str, list[str]]:
        """
        Return the tags of each image, by its id.
        """
        found: dict[str, list[str]] = {}
        # Each look-up of an image does this, and there are hundreds: not by pathlib.
        directory = self.root / "tags"
        for name in sorted(_names(directory)):
            with suppress(OSError):
                if not name.startswith("."):
                    image = f"sha256:{_content(f'{directory}/{name}').decode('ascii')}"
                    found.setdefault(image, []).append(urllib.parse.unquote(name))
        return found

    def set_tag(self, reference: str, image: Image) -> None:
        """
        Make *reference* a name of an image.
        """
        _replace(
            self.root / "tags" / _quoted(full_name(reference)), image.id.removeprefix("sha256:")
        )

    def drop_tag(self, reference: str) -> None:
        """
        Remove a name.
        """
        (self.root / "tags" / _quoted(full_name(reference))).unlink(missing_ok=True)

    def drop_image(self, image: Image) -> None:
        """
        Remove an image, and its layers that nothing else has. The caller holds the lock.
        """
        (self.root / "images" / f"{image.id.removeprefix('sha256:')}.json").unlink(missing_ok=True)
        used = {layer for one in self.every_image() for layer in one.layers}
        used |= {layer for one in self.container_records() for layer in one["layers"]}
        for layer in set(image.layers) - used:
            self.discard(self.root / "layers" / layer)
            for folder in ("digests", "sizes"):
                (self.root / folder / f"{layer}.json").unlink(missing_ok=True)

    def info(self, image: Image, tags: Mapping[str, Sequence[str]] | None = None) -> ImageInfo:
        """
        Return an image as the protocol has it.
        """
        names = self.tags() if tags is None else tags
        return ImageInfo(
            id=image.id,
            tags=tuple(names.get(image.id, ())),
            labels=image.labels,
            digests=image.digests,
            size=sum(self.size(layer) for layer in image.layers),
            architecture=image.architecture,
            layers=tuple(f"sha256:{one}" for one in image.layers),
            on_build=tuple(map(str, image.config.get("OnBuild") or ())),
        )

    # Layers.

    def new_layer(self) -> str:
        """
        Return the name of a layer that does not exist yet.
        """
        return secrets.token_hex(32)

    def layer(self, name: str) -> Path:
        """
        Return the directory of a layer.
        """
        return self.root / "layers" / name

    def size(self, layer: str) -> int:
        """
        Return the number of bytes in the files of a layer.
        """
        return int((self.read("sizes", layer) or {}).get("size", 0))

    def digest(self, layer: str) -> str:
        """
        Return the digest of a layer's tar, if the layer is here and was saved before; otherwise an
        empty text.
        """
        found = (self.read("digests", layer) or {}).get("digest", "")
        return str(found) if self.layer(layer).is_dir() else ""

    def note_digest(self, layer: str, digest: str) -> None:
        """
        Remember the digest of a layer's tar.
        """
        self.write("digests", layer, {"digest": digest})

    def discard(self, path: Path) -> None:
        """
        Remove a directory: at once from its place, then its files.
        """
        if path.exists():
            trash = self.root / "trash" / f"{path.name}-{secrets.token_hex(4)}"
            self._discard(str(path), str(trash))

    def empty_trash(self) -> None:
        """
        Remove what killed processes have left half made or half removed.
        """
        for path in (self.root / "trash").iterdir():
            unfinished = path.name.endswith("-new") or path.name.startswith("archive-")
            with suppress(OSError):
                # Another process may just be making it.
                if not unfinished or clock.wall_time() - path.stat().st_mtime > _LONGEST:
                    self._discard(str(path), str(path))

    # Containers.

    def container_records(self) -> list[dict[str, Any]]:
        """
        Return what is known of all containers.
        """
        paths = (self.root / "containers").iterdir()
        return [about for path in paths if (about := read_json(path / "container.json"))]

    def find_container(self, name: str) -> dict[str, Any] | None:
        """
        Return what is known of the container with this id or name.
        """
        if "/" in name:
            return None
        about = read_json(self.root / "containers" / name / "container.json")
        if about is None:
            with suppress(OSError):
                other = (self.root / "names" / name).read_text("ascii")
                about = read_json(self.root / "containers" / other / "container.json")
        return about

    # Networks.

    def network_records(self) -> list[dict[str, Any]]:
        """
        Return what is known of all networks.
        """
        paths = (self.root / "networks").iterdir()
        return [about for path in paths if (about := read_json(path / "network.json"))]

    def find_network(self, name: str) -> dict[str, Any] | None:
        """
        Return what is known of the network with this id or name.
        """
        every = self.network_records()
        return next((one for one in every if name in (one["id"], one["name"])), None)


def _names(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [one.name for one in entries]
    except FileNotFoundError:
        return []


def _content(path: str) -> bytes:
    """
    Return what a file holds, in a third of the time that `Path.read_bytes` takes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # A file that is replaced meanwhile keeps its length, and none is changed in place.
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """
    Return what a file holds; `None` if there is none.
    """
    try:
        found: dict[str, Any] = json.loads(_content(str(path)))
    except (OSError, ValueError):
        return None
    return found


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """
    Write a file so that readers see the old or the new content.
    """
    _replace(path, json.dumps(record))


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)


def full_name(reference: str) -> str:
    """
    Return *reference* with its tag, and without the name of Docker's registry.
    """
    for host in _HUB:
        reference = reference.removeprefix(host)
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def _quoted(reference: str) -> str:
    return urllib.parse.quote(reference, safe=":@")
