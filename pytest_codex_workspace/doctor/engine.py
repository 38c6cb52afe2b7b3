"""Checks of the container engine."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, wait
from pathlib import Path

from ..cache import entries, is_old
from ..engine.api import OLDEST
from ..engine.protocol import Engine
from ..errors import CodexWorkspaceError
from ..identity import Identity
from ..quantities import show_size
from ..sweep import left_behind
from .results import Result, advised, counted, error, ok, some, warning

__all__ = [
    "architecture",
    "cached_layers",
    "disk",
    "found",
    "leftovers",
    "networks",
    "sockets",
    "storage",
    "version",
]

_LITTLE = 10_000_000_000
_TOO_LITTLE = 2_000_000_000
"""Bytes. The images take 3 GB, and a build needs room for what it makes."""

_WITHOUT_VSOCK = 23
"""The Docker release whose seccomp profile refuses AF_VSOCK (moby/moby#44563)."""


def found(engine: Future[tuple[Engine, str]], patience: float) -> Result:
    """
    Whether an engine answers, and what led to it.
    """
    wait([engine], patience)
    if not engine.done():
        return error(
            f"no container engine has answered within {patience:g} s",
            "Check that it runs (`docker version`), or name another with --engine=URL.",
        )
    problem = engine.exception()
    if isinstance(problem, CodexWorkspaceError):
        return advised(problem)
    one, origin = engine.result()
    return ok(f"{one.url} answers ({origin})")


def version(engine: Engine) -> Result:
    """
    Its name, and whether it is young enough.
    """
    about = engine.version()
    text = f"{about['name']} {about['version']}, API {about['api']}"
    if _numbers(about["api"]) < _numbers(OLDEST):
        return error(text, f"Update it: API {OLDEST} (Docker 20.10, Podman 4) is the oldest.")
    return ok(text)


def sockets(engine: Engine) -> Result | None:
    """
    Whether it keeps workspaces from sockets that no network namespace confines.
    """
    about = engine.version()
    major = about["version"].partition(".")[0]
    if about["name"] != "docker" or not major.isdecimal():
        return None
    if int(major) >= _WITHOUT_VSOCK:
        return ok("no AF_VSOCK for workspaces")
    return warning(
        f"Docker {about['version']} lets workspaces open AF_VSOCK sockets, by which the guest of a "
        "virtual machine speaks to its host, past every network",
        f"Where workspaces are not trusted, update Docker to {_WITHOUT_VSOCK} or newer.",
    )


def architecture(engine: Engine) -> Result:
    """
    Codex itself runs on one kind of machine.
    """
    if engine.platform == "linux/amd64":
        return ok("linux/amd64, as in Codex")
    return warning(
        f"{engine.platform}; Codex runs on linux/amd64 only",
        "What is compiled or downloaded for a platform can differ there: name an engine on such a "
        "machine with --engine=ssh://HOST to be sure.",
    )


def storage(engine: Engine) -> Result:
    """
    How the engine keeps layers.
    """
    driver = engine.version()["storage"]
    if driver in ("vfs", "devicemapper"):
        return warning(
            f"{driver}, which copies a whole image for each container"
            if driver == "vfs"
            else f"{driver}, which is slow and no longer supported",
            'Let the engine use overlay2: "storage-driver" in /etc/docker/daemon.json.',
        )
    return ok(driver or "the engine does not say how")


def disk(engine: Engine) -> Result:
    """
    Room where the engine keeps images, if that is on this machine.
    """
    root = Path(engine.version().get("root", ""))
    # A socket may lead to a virtual machine, too.
    if not engine.url.startswith("unix://") or not root.is_absolute() or not root.is_dir():
        return ok("the engine keeps its images where this machine cannot look")
    return room(root, shutil.disk_usage(root).free)


def room(root: Path, free: int) -> Result:
    """
    Whether *free* bytes in *root* are enough.
    """
    text = f"{show_size(free)} free in {root}"
    remedy = (
        "Make room: `codex-workspace cache prune` and `codex-workspace clean` remove what is ours, "
        "`docker system df` shows what else there is."
    )
    if free < _TOO_LITTLE:
        return error(text, remedy)
    return warning(text, remedy) if free < _LITTLE else ok(text)


def networks(engine: Engine) -> Result:
    """
    Whether the engine makes networks of the kind that workspaces need.

    One is made, and removed again; if that is interrupted, it has the labels
    that the next run removes it by.
    """
    identity = Identity()
    made = engine.create_network(
        identity.name("doctor"), internal=True, labels=identity.labels("network")
    )
    engine.remove_network(made.id)
    return ok("an internal network can be made and removed")


def leftovers(engine: Engine) -> Result:
    """
    What runs that were killed have left.
    """
    left = left_behind(engine)
    if not left:
        return ok("nothing of ended runs is left")
    return warning(f"left by ended runs: {some(left)}", "Run `codex-workspace clean`.")


def cached_layers(engine: Engine, budget: int, ttl: float) -> Result:
    """
    How much the cache takes of *budget* bytes; what is older than *ttl* seconds is of no use.
    """
    layers = entries(engine)
    size = sum(one.own for one in layers)
    text = f"{counted(len(layers), 'cached layer')}: {show_size(size)} of {show_size(budget)}"
    old = sum(one.kind == "setup" and is_old(one.image, ttl) for one in layers)
    if old:
        text += f", {counted(old, 'setup')} among them too old to be used"
    if size > budget:
        return warning(text, "Run `codex-workspace cache prune`, or give more with --cache-size.")
    return ok(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
