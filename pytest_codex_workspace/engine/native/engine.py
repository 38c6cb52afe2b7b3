"""A container engine of Linux namespaces, without a daemon."""

from __future__ import annotations

import os
import platform
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .. import skopeo
from ..protocol import ROOTLESS, Capacity
from .build import Builds
from .networks import NativeNetworks
from .runner.kernel.cgroups import find_limits
from .runner.removal import discard_tree
from .store import Store
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NativeEngine"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class NativeEngine(Builds, NativeNetworks):
    """
    `Engine` on the kernel of this machine.

    What it keeps lies in one directory, which any number of processes share. A process of its own
    makes namespaces and mounts; what it has started ends with its input, as on other engines.

    Args:
        root: the directory.

    Raises:
        EngineUnavailable: it does not work here for a user without root. The text says why.
    """

    def __init__(self, root: Path) -> None:
        self._workers = Workers(root)
        self._store = Store(root, self._workers.discard if self._rootless else discard_tree)
        if self._rootless:
            self._workers.check()
        self._guard = threading.Lock()
        self._waiting = {}
        self._held = {}
        self._store.empty_trash()
        self._remove_lost_builds()

    @property
    def url(self) -> str:
        """
        The directory, as an address.
        """
        return f"native://{self._store.root}"

    @property
    def platform(self) -> str:
        """
        The platform of the engine's images.
        """
        return f"linux/{self._architecture}"

    @property
    def looks_up_digests(self) -> bool:
        """
        Whether skopeo is installed.
        """
        return skopeo.is_installed()

    @property
    def _architecture(self) -> str:
        machine = platform.machine()
        return _ARCHITECTURES.get(machine, machine)

    def version(self) -> Mapping[str, str]:
        """
        Return `name`, `version`, `api`, `os`, `arch`, `storage`, `root`, `host` and `modes`.
        """
        return {
            "name": "native",
            "version": platform.release(),
            "api": "1",
            "os": "linux",
            "arch": self._architecture,
            "storage": "overlayfs",
            "root": str(self._store.root),
            "host": platform.node(),
            "modes": ", ".join(self._modes),
        }

    @property
    def _rootless(self) -> bool:
        return os.geteuid() != 0

    @property
    def _modes(self) -> list[str]:
        limits = sorted(find_limits() - {"freezer"})
        modes = [f"limits {', '.join(limits)}" if limits else "no limits"]
        return [ROOTLESS, *modes] if self._rootless else modes

    @cached_property
    def capacity(self) -> Capacity:
        """
        What this machine has, and what can be limited.
        """
        limits = find_limits()
        return Capacity(
            cpus=os.cpu_count() or 0,
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            limits_cpus="cpu" in limits,
            limits_memory="memory" in limits,
            limits_processes="pids" in limits,
        )

    def close(self) -> None:
        """
        End the process that starts containers. Those that it has started are left alone, but for
        the ones without a stream: their input ends.
        """
        with self._guard:
            held, self._held = list(self._held.values()), {}
            waiting, self._waiting = list(self._waiting.values()), {}
        for stream in held:
            stream.close()
        for stream, ends in waiting:
            ends.close()
            stream.close()
        self._workers.close()
