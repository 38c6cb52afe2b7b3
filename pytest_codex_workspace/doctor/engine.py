"""Checks of the container engine."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, wait
from pathlib import Path

from ..cache.entries import entries, is_old
from ..engine.docker.api import OLDEST
from ..engine.docker.find import Located
from ..engine.protocol import Engine
from ..engine.session_id import Identity
from ..engine.sweep import left_behind
from ..errors import CodexWorkspaceError
from ..text.phrases import counted
from ..text.units import show_size
from .engine_limits import told
from .result import Result, error, from_error, ok, some, warning

__all__ = [
    "architecture",
    "cached_layers",
    "disk",
    "found",
    "free_space",
    "kept_files",
    "leftovers",
    "limits",
    "modes",
    "networks",
    "sockets",
    "storage",
    "version",
]

_CLEAN = "Run `codex-workspace clean`, which leaves running sessions alone."

_LOW = 10_000_000_000
_TOO_LOW = 2_000_000_000
"""Bytes. The images take 3 GB, and a build needs space for its results."""


def found(engine: Future[Located], timeout: float) -> Result:
    """
    Check that an engine answers within *timeout* seconds, and report its address, how it was
    found, and which engines that are there were passed over.
    """
    wait([engine], timeout)
    if not engine.done():
        return error(
            f"no container engine answered within {timeout:g} s",
            "Check that the engine runs (`docker version`), or name another with --engine=URL.",
        )
    problem = engine.exception()
    if isinstance(problem, CodexWorkspaceError):
        return from_error(problem)
    located = engine.result()
    text = f"{located.engine.url} answers ({located.origin})"
    return ok("; passed over: ".join([text, *located.passed_over]))


def version(engine: Engine) -> Result:
    """
    Check that the engine is new enough, and report its name and version.
    """
    about = engine.version()
    text = f"{about['name']} {about['version']}, API {about['api']}"
    if about["name"] == "native":
        return ok(f"native, on Linux {about['version']}")
    if _numbers(about["api"]) < _numbers(OLDEST):
        return error(text, f"Update the engine: API {OLDEST} (Docker 20.10, Podman 4) is required.")
    return ok(text)


def modes(engine: Engine) -> Result | None:
    """
    Report how the engine was set up.
    """
    text = engine.version().get("modes", "")
    return ok(text) if text else None


def sockets(engine: Engine) -> Result | None:
    """
    Check that workspaces cannot open sockets that bypass network namespaces.
    """
    about = engine.version()
    known = about["name"] == "native" or (
        about["name"] == "docker" and about["version"].partition(".")[0].isdecimal()
    )
    if not known:
        return None
    return told("sockets", engine) or ok("workspaces cannot open AF_VSOCK sockets or use io_uring")


def architecture(engine: Engine) -> Result:
    """
    Check that the engine has the architecture of Codex.
    """
    return told("architecture", engine) or ok("linux/amd64, as in Codex")


def storage(engine: Engine) -> Result:
    """
    Check how the engine stores layers.
    """
    driver = engine.version()["storage"]
    return told("storage", engine) or ok(driver or "not reported by the engine")


def kept_files(engine: Engine) -> Result | None:
    """
    Report what the engine does not keep of files.
    """
    if engine.version()["name"] == "native":
        return ok("cached files keep times, holes and attributes")
    return told("files", engine)


def limits(engine: Engine) -> Result:
    """
    Check that the engine can limit what a workspace uses.
    """
    limited = ok("memory, processors and processes of a workspace are limited")
    return told("limits", engine) or limited


def disk(engine: Engine) -> Result:
    """
    Check the free space where the engine stores images, if that is on this machine.
    """
    root = Path(engine.version().get("root", ""))
    # The socket may belong to a virtual machine.
    here = engine.url.startswith(("unix://", "native://"))
    if not here or not root.is_absolute() or not root.is_dir():
        return ok("not checked: the engine stores its images on another machine")
    return free_space(root, shutil.disk_usage(root).free)


def free_space(root: Path, free: int) -> Result:
    """
    Check that *free* bytes in *root* are enough.
    """
    text = f"{show_size(free)} free in {root}"
    remedy = (
        "Free some space: `codex-workspace cache prune` and `codex-workspace clean` remove what "
        "this package no longer needs; `docker system df` shows what else uses space."
    )
    if free < _TOO_LOW:
        return error(text, remedy)
    return warning(text, remedy) if free < _LOW else ok(text)


def networks(engine: Engine) -> Result:
    """
    Check that the engine can create the kind of network that workspaces need.

    The check creates a network and removes it. After an interruption, the next
    run finds the network by its labels and removes it.
    """
    identity = Identity()
    made = engine.create_network(
        identity.name("doctor"), internal=True, labels=identity.labels("network")
    )
    engine.remove_network(made.id)
    return ok("an internal network can be created and removed")


def leftovers(engine: Engine) -> Result:
    """
    Check for objects that killed runs have left behind.
    """
    left = left_behind(engine)
    if not left:
        return ok("no objects of earlier runs are left")
    return warning(f"left by earlier runs: {some(left)}", _CLEAN)


def cached_layers(engine: Engine, budget: int, ttl: float) -> Result:
    """
    Check that the cache fits into *budget* bytes, and count setups older than *ttl* seconds.
    """
    layers = entries(engine)
    size = sum(one.own for one in layers)
    text = f"{counted(len(layers), 'cached layer')}: {show_size(size)} of {show_size(budget)}"
    old = sum(one.kind == "setup" and is_old(one.image, ttl) for one in layers)
    if old:
        text += f", of which {counted(old, 'setup')} expired"
    if size > budget:
        return warning(text, "Run `codex-workspace cache prune`, or raise --cache-size.")
    return ok(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
