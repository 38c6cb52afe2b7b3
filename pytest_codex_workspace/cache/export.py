"""Export and import of setup images as one file."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..codex import IMAGE
from ..engine import labels
from ..engine.protocol import Engine
from ..errors import CacheFileError
from .entries import Entry

__all__ = ["export_setups", "import_setups"]

_DESCRIPTION_LIMIT = 16 * 1024 * 1024


def export_setups(engine: Engine, found: Sequence[Entry], path: Path) -> None:
    """
    Write the images of *found*, with all their layers, to a file in the format of
    `docker save`. The file is compressed if its name ends in `.gz`.

    Raises:
        CacheFileError: the file cannot be written. An existing file is unchanged.
        EngineError: the engine refused.
    """
    names = [f"{IMAGE}:setup-{entry.key}" for entry in found]
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file, _compressed(file, path) as target:
                for piece in engine.save(names):
                    target.write(piece)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise CacheFileError(f"{path} cannot be written: {error.strerror}") from None


def import_setups(engine: Engine, path: Path) -> list[str]:
    """
    Add the setup images of a file that `export_setups` wrote to the engine. A file with
    any other image is refused as a whole: it could replace the user's own images.

    Returns:
        The keys of the images.

    Raises:
        CacheFileError: the file cannot be read, or has other content.
        EngineError: the engine refused.
    """
    try:
        keys = _keys_in(path)
        with path.open("rb") as file:
            # Engines decompress gzip themselves.
            engine.load(file)
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CacheFileError(
            f"{path} is not a file of `codex-workspace cache export`: {error}; nothing was imported"
        ) from None
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise CacheFileError(f"{path} cannot be read: {error.strerror or error}") from None
    return keys


def _keys_in(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        keys = []
        for one in _json_in(tar, "manifest.json"):
            about = _json_in(tar, one["Config"])
            marks = (about.get("config") or {}).get("Labels") or {}
            key = marks.get(labels.KEY)
            if marks.get(labels.KIND) != "setup" or not key:
                raise ValueError(
                    f"it contains {one.get('RepoTags') or 'an image'}, which is not a setup image"
                )
            for tag in one.get("RepoTags") or ():
                if tag != f"{IMAGE}:setup-{key}":
                    raise ValueError(f"it names a setup image {tag}")
            keys.append(str(key))
    if not keys:
        raise ValueError("it contains no image")
    return keys


def _json_in(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.getmember(name)
    file = tar.extractfile(member)
    if file is None or member.size > _DESCRIPTION_LIMIT:
        raise ValueError(f"its {name} is invalid")
    return json.loads(file.read())


@contextlib.contextmanager
def _compressed(file: BinaryIO, path: Path) -> Iterator[Any]:
    if path.suffix != ".gz":
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="") as target:
        yield target
