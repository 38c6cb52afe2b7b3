"""Where the pip, npm and apt of a base image get their packages from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..codex import REGISTRIES
from ..engine.protocol import ImageInfo
from ..errors import WorkspaceLost
from ..host.dirs import cache_dir
from ..network.rules.hosts import normalise_host
from ..network.rules.policy import OFFLINE
from ..reporting.output import Output
from ..workspace.launcher import Launcher, UnusableImage

__all__ = ["read_registries"]

_LIMIT = 1 << 16


def read_registries(
    image: ImageInfo, launcher: Launcher, output: Output
) -> Mapping[str, Sequence[str]]:
    """
    Return the hosts of the package registries by kind. They are read from the
    base image itself: in a layer on top of it a script could have changed them.

    Args:
        image: the base image.
        launcher: starts a container of it, once on this machine.
        output: shows a warning if the image has no list.
    """
    cached = cache_dir() / "registries" / f"{image.id.rpartition(':')[2]}.json"
    with suppress(OSError, ValueError):
        return _parse(cached.read_bytes())
    try:
        running = launcher.launch(image.id, {}, "setup", policy=OFFLINE, cwd="/")
    except UnusableImage as error:
        raise error.cause from None
    try:
        found = _parse(running.channel.read_file(REGISTRIES, limit=_LIMIT))
    except WorkspaceLost:
        raise
    except (OSError, ValueError):
        output.note(
            f"{image.tags[0] if image.tags else image.id} has no list of package registries, so "
            "the presets do not include package registries"
        )
        return {}
    finally:
        launcher.stop(running)
    with suppress(OSError):
        cached.parent.mkdir(exist_ok=True)
        cached.write_text(json.dumps(found), "ascii")
    return found


def _parse(data: bytes) -> dict[str, list[str]]:
    """
    Return the hosts in a list, which a foreign image may have written: names, and no patterns
    of a policy, which could stand for any host.

    Raises:
        ValueError: *data* is no such list.
    """
    try:
        return {
            kind: [normalise_host(host) for host in hosts]
            for kind, hosts in json.loads(data).items()
        }
    except (AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"not a list of package registries: {error}") from None
