"""The layers of images, which an engine tells of one image at a time only."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..engine.protocol import Engine, ImageInfo
from ..engine.session_id import mark_of
from ..host.dirs import cache_dir, preferred_cache_dir

__all__ = ["with_layers"]

_ID = re.compile(r"sha256:[0-9a-f]{64}")
"""An id that is the digest of what it names: it has the same layers for ever."""

_LARGEST = 64 << 20
"""Bytes of a file that is read."""


def with_layers(
    engine: Engine, listed: Sequence[ImageInfo], *, remember: bool = True
) -> list[ImageInfo]:
    """
    Return the images of an engine's list with their layers. Images that are gone by now may be
    left out.

    The engine is asked once for each image; the answers are kept in a file, because each run that
    makes a layer looks at all layers, and there may be thousands.

    Args:
        engine: the engine that has listed them.
        listed: images as the engine lists them.
        remember: whether to write the answers to the file.
    """
    folder = cache_dir() if remember else preferred_cache_dir()
    path = folder / "layers" / f"{mark_of(engine)}.json"
    known = _read(path)
    unknown = [one.id for one in listed if one.id not in known]
    if unknown:
        with ThreadPoolExecutor(8) as pool:
            found = [one for one in pool.map(engine.image, unknown) if one is not None]
        known |= {one.id: one.layers for one in found}
        if remember:
            _write(path, {one.id: known[one.id] for one in listed if one.id in known})
    return [replace(one, layers=known[one.id]) for one in listed if one.id in known]


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    """
    Return what is known; nothing if the file is missing or damaged.
    """
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        kept = json.loads(path.read_bytes())
        return {image: tuple(map(str, layers)) for image, layers in kept.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _write(path: Path, known: Mapping[str, Sequence[str]]) -> None:
    """
    Replace the file. Of several processes, the last one wins; what it lacks is asked for again.
    """
    kept = {image: layers for image, layers in known.items() if _ID.fullmatch(image)}
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, suffix=".json", delete=False
        ) as file:
            temporary = Path(file.name)
            try:
                json.dump(kept, file)
                file.close()
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
