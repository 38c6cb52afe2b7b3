"""Whether the registry has a newer image than the one that a build starts from.

An image is looked up by its tag once, and used by its id or digest from then on. It is
replaced only on request, because everything in the cache would be made again.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

from ..engine.protocol import Engine, ImageInfo
from ..errors import CodexWorkspaceError, EngineError
from ..host.dirs import cache_dir
from ..reporting.output import Output
from ..unpatched import clock

__all__ = ["came_from_registry", "newest", "pull_shown", "tell_of_newer"]

_DAYS = 7
_PATIENCE = 10.0
"""Seconds to wait for a registry."""


def came_from_registry(image: ImageInfo, reference: str) -> bool:
    """
    Return whether *image* was pulled by that name. The registry's image of the same name as
    one that was built here is somebody else's.
    """
    repository = _repository(reference)
    return any(one.partition("@")[0] == repository for one in image.digests)


def pull_shown(engine: Engine, reference: str, output: Output) -> ImageInfo:
    """
    Pull *reference*, and show the progress.

    Raises:
        EngineError: the image cannot be pulled.
    """
    with output.step(f"pulling {reference}") as step:
        return engine.pull(reference, output.detail, on_advance=step.advance)


def newest(engine: Engine, reference: str, image: ImageInfo, output: Output) -> ImageInfo:
    """
    Pull *reference* again if it came from a registry. If that fails, return *image*.
    """
    if not came_from_registry(image, reference):
        return image
    try:
        return pull_shown(engine, reference, output)
    except EngineError as error:
        output.note(f"warning: {reference} is not refreshed: {error.message}")
        return image


def tell_of_newer(engine: Engine, reference: str, image: ImageInfo, output: Output) -> None:
    """
    Ask the registry once a week for the digest of *reference*, and say if it is another one
    than that of *image*. A registry that does not answer is not an error.
    """
    if "@" in reference or not came_from_registry(image, reference) or not _is_due(reference):
        return
    with suppress(EngineError):
        digest = engine.registry_digest(reference, _PATIENCE)
        if not any(one.endswith(f"@{digest}") for one in image.digests):
            output.note(
                f"the registry has a newer {reference}; `codex-workspace build --force` gets it, "
                "and setups run again"
            )


def _is_due(reference: str) -> bool:
    """
    Return whether the registry was not asked in the last days, and remember that it is now.
    """
    name = hashlib.sha256(reference.encode()).hexdigest()[:24]
    try:
        stamp = cache_dir() / "registries" / f"asked-{name}.json"
        with suppress(FileNotFoundError):
            if abs(clock.wall_time() - stamp.stat().st_mtime) < _DAYS * 24 * 3600:
                return False
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text("{}", "ascii")
    except (OSError, CodexWorkspaceError):
        return False
    return True


def _repository(reference: str) -> str:
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
