"""The sockets of the programs that bring an engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .place import Place, home_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["docker_sockets", "podman_sockets", "runtime_dir"]


def docker_sockets(environ: Mapping[str, str]) -> Iterator[Place]:
    """
    Yield Docker's own sockets, then those of other programs that are there.
    """
    home = Path(home_of(environ))
    yield Place("the default socket", "unix:///var/run/docker.sock")
    yield from _existing("Docker Desktop", home, (".docker/run", ".docker/desktop"), "docker.sock")
    yield Place("rootless Docker", f"unix://{runtime_dir(environ)}/docker.sock")
    settings = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    for base in (environ.get("COLIMA_HOME"), home / ".colima", settings / "colima"):
        if base:
            yield from _existing("Colima", Path(base), ("default", ".", "*"), "docker.sock")
    yield from _existing("Rancher Desktop", home, (".rd",), "docker.sock")
    yield from _existing("OrbStack", home, (".orbstack/run",), "docker.sock")
    yield from _existing("Lima", home, (".lima/docker/sock", ".lima/*/sock"), "docker.sock")


def podman_sockets(environ: Mapping[str, str]) -> Iterator[Place]:
    """
    Yield the sockets of Podman's service, this user's first, as for the podman command.
    """
    home = Path(home_of(environ))
    yield Place("rootless Podman", f"unix://{runtime_dir(environ)}/podman/podman.sock")
    yield Place("Podman", "unix:///run/podman/podman.sock")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    machines = data / "containers/podman/machine"
    yield from _existing("the podman machine", machines, (".", "*", "*/*"), "podman.sock")
    yield from _existing("Lima", home, (".lima/podman/sock", ".lima/*/sock"), "podman.sock")


def runtime_dir(environ: Mapping[str, str]) -> str:
    """
    Return the directory for this user's sockets. It need not exist.
    """
    return environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"


def _existing(origin: str, base: Path, folders: tuple[str, ...], name: str) -> Iterator[Place]:
    seen = set()
    for folder in folders:
        try:
            found = (
                sorted(base.glob(f"{folder}/{name}")) if "*" in folder else [base / folder / name]
            )
        except OSError:
            continue
        for path in found:
            # A directory that may not be read has nothing for this user.
            if path not in seen and os.path.lexists(path):
                seen.add(path)
                yield Place(origin, f"unix://{path}")
