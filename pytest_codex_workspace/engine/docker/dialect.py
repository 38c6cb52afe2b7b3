"""In what engines that speak the Docker Engine API differ, by what each says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DOCKER", "PODMAN", "Dialect", "dialect_of"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    How an engine understands calls that mean something else to another engine.

    What an answer shows by itself, such as labels that are missing, is not here: the
    answer is looked at instead.

    Attributes:
        name: the engine's name for users.
        egress_network: the network of containers that name none.
        local_host: what the names of images begin with that no registry has; empty for nothing.
        names_what_it_makes: whether a commit or an import gives the image the name that it is
            asked for.
        looks_up_digests: whether it asks a registry for a digest.
        internal_network_resolves: whether the resolver of an internal network forwards the names
            that it does not know. Otherwise, the network needs to have none.
        refuses_missing_directories: whether an archive for a directory that does not exist is
            refused, not unpacked into a new one.
        reads_padding: whether what follows the end of an archive is read. Otherwise, it must not
            be sent.
        removal_kills: whether a forced removal kills the container, even if another has joined its
            network. Otherwise it asks the container to end, waits ten seconds, and refuses.
        guards_networks_by_id: whether a network that containers use is kept if its removal names
            it by its id.
    """

    name: str
    egress_network: str = "bridge"
    local_host: str = ""
    names_what_it_makes: bool = True
    looks_up_digests: bool = True
    internal_network_resolves: bool = True
    refuses_missing_directories: bool = True
    reads_padding: bool = True
    removal_kills: bool = True
    guards_networks_by_id: bool = True


DOCKER = Dialect("docker")

PODMAN = Dialect(
    "podman",
    egress_network="podman",
    local_host="localhost/",
    names_what_it_makes=False,
    looks_up_digests=False,
    internal_network_resolves=False,
    refuses_missing_directories=False,
    reads_padding=False,
    removal_kills=False,
    guards_networks_by_id=False,
)


def dialect_of(about: Mapping[str, Any]) -> Dialect:
    """
    Return the dialect of an engine.

    Args:
        about: its answer to `/version`.
    """
    names = [str(one.get("Name", "")) for one in about.get("Components") or ()]
    return PODMAN if any("podman" in name.lower() for name in names) else DOCKER
