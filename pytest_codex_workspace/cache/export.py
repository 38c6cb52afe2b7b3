"""Export and import of setup images as one file."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..codex import IMAGE
from ..engine import labels
from ..engine.protocol import Engine, ImageInfo, OnAdvance
from ..errors import CacheFileError, CodexWorkspaceError, EngineError
from .entries import Entry, is_old
from .image_archive import ImageArchive, ImageFound, with_progress

__all__ = ["Imported", "export_setups", "import_setups"]

_KEY = re.compile(r"[0-9a-z]{1,64}")


def export_setups(
    engine: Engine, found: Sequence[Entry], path: Path, on_advance: OnAdvance = lambda _: None
) -> None:
    """
    Write the images of *found*, with all their layers, to a file in the format of
    `docker save`. The file is compressed if its name ends in `.gz`.

    Args:
        engine: has the images.
        found: the setups to write.
        path: the file.
        on_advance: called with the number of bytes so far.

    Raises:
        CacheFileError: the file cannot be written. An existing file is unchanged.
        EngineError: the engine refused.
    """
    names = [_name(entry.key) for entry in found]
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file, _compressed(file, path) as target:
                for piece in with_progress(engine.save(names), on_advance):
                    target.write(piece)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise CacheFileError(f"{path} cannot be written: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Imported:
    """
    A setup image of a file.

    Attributes:
        key: its key.
        image: the engine's image with that key now.
        added: whether it is the image of the file. An image that the engine already
            had under that key is kept.
    """

    key: str
    image: ImageInfo
    added: bool


def import_setups(
    engine: Engine, path: Path, *, ttl: float, limit: int, on_advance: OnAdvance = lambda _: None
) -> list[Imported]:
    """
    Add the setup images of a file that `export_setups` wrote to the engine.

    The file's own names have no effect: an image is tagged here, by its key, and replaces
    an image of the same key only if that one has expired. A file with any other image is
    refused as a whole.

    Args:
        engine: the engine that gets the images.
        path: the file, plain or compressed by gzip.
        ttl: maximum age of an image in seconds.
        limit: the largest number of bytes that the file unpacks to.
        on_advance: called with the number of bytes that the engine has read.

    Raises:
        CacheFileError: the file cannot be read, or has other content.
        EngineError: the engine refused.
    """
    try:
        archive = ImageArchive(path, limit)
        keys = {image.digest: _key_of(image) for image in archive.images}
        return _load(engine, archive, keys, ttl, on_advance)
    except ValueError as error:
        if isinstance(error, CodexWorkspaceError):
            raise
        raise CacheFileError(
            f"{path} is not a file of `codex-workspace cache export`: {error}; nothing was imported"
        ) from None
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise CacheFileError(f"{path} cannot be read: {error.strerror or error}") from None


def _key_of(image: ImageFound) -> str:
    """
    Return the key of a setup image; it can be part of a tag.

    Raises:
        ValueError: it is another image.
    """
    key = image.labels.get(labels.KEY, "")
    if image.labels.get(labels.KIND) != "setup" or not _KEY.fullmatch(key):
        shown = ", ".join(image.tags) or "an image"
        raise ValueError(f"it contains {shown}, which is not a setup image")
    for tag in image.tags:
        # Podman writes its own names with a host.
        if tag.removeprefix("localhost/").removeprefix("docker.io/library/") != _name(key):
            raise ValueError(f"it names a setup image {tag}")
    return key


def _load(
    engine: Engine,
    archive: ImageArchive,
    keys: Mapping[str, str],
    ttl: float,
    on_advance: OnAdvance,
) -> list[Imported]:
    new = [one.digest for one in archive.images if engine.image(one.digest) is None]
    reported: list[str] = []
    try:
        with archive.rewritten(on_advance) as file:
            reported = engine.load(file)
        found = [
            _tagged(engine, image, keys[image.digest], reported, ttl) for image in archive.images
        ]
    except BaseException:
        _remove_untagged(engine, [*new, *reported])
        raise
    _remove_untagged(engine, [*new, *reported])
    return found


def _tagged(
    engine: Engine, image: ImageFound, key: str, reported: Sequence[str], ttl: float
) -> Imported:
    """
    Tag an image that was loaded, by what the engine says about it.
    """
    present = engine.image(_name(key))
    if present is not None and not _has_expired(present, key, ttl):
        return Imported(key, present, added=False)
    for reference in (image.digest, *reported):
        loaded = engine.image(reference)
        if loaded is None or loaded.layers != image.layers:
            continue
        if loaded.labels.get(labels.KEY) != key or loaded.labels.get(labels.KIND) != "setup":
            continue
        if loaded.on_build:
            raise ValueError(f"its image {key} has ONBUILD instructions")
        engine.tag(loaded.id, _name(key))
        return Imported(key, loaded, added=True)
    raise ValueError(f"the engine did not load its image {key} as it is described")


def _has_expired(present: ImageInfo, key: str, ttl: float) -> bool:
    # Whatever else has this name is not ours to replace.
    ours = present.labels.get(labels.KIND) == "setup" and present.labels.get(labels.KEY) == key
    return ours and is_old(present, ttl)


def _remove_untagged(engine: Engine, references: Sequence[str]) -> None:
    for reference in dict.fromkeys(references):
        with contextlib.suppress(EngineError):
            image = engine.image(reference)
            if image is not None and not image.tags:
                engine.remove_image(image.id)


def _name(key: str) -> str:
    return f"{IMAGE}:setup-{key}"


@contextlib.contextmanager
def _compressed(file: BinaryIO, path: Path) -> Iterator[Any]:
    if path.suffix != ".gz":
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="") as target:
        yield target
