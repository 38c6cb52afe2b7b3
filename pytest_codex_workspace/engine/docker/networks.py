"""Networks, over the Docker Engine API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..labels import has_labels
from ..protocol import NetworkInfo
from .api import label_filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .api import Api

__all__ = ["Networks"]


class Networks:
    """
    The part of `DockerEngine` that is about networks.
    """

    _api: Api

    def create_network(
        self, name: str, *, internal: bool, labels: Mapping[str, str]
    ) -> NetworkInfo:
        """
        Create a bridge network; on an *internal* network, the host has no address.
        """
        what = f"create the network {name}"
        if internal and not self._api.dialect.internal_network_resolves:
            return self._create_without_resolver(what, name, labels)
        options = {}
        if internal:
            # The host's own services would be reachable at the bridge's address.
            options["com.docker.network.bridge.inhibit_ipv4"] = "true"
        body = {
            "Name": name,
            "Driver": "bridge",
            "Internal": internal,
            "CheckDuplicate": True,
            "Labels": dict(labels),
            "Options": options,
        }
        answer = self._api.call("POST", "/networks/create", what, body=body, finish=True)
        return NetworkInfo(answer.json()["Id"], name, dict(labels))

    def _create_without_resolver(
        self, what: str, name: str, labels: Mapping[str, str]
    ) -> NetworkInfo:
        """
        Create an internal network without Podman's resolver, by Podman's own API. It answers for
        the network's own names only, and replaces the resolvers of a container that is on another
        network as well.
        """
        body = {
            "name": name,
            "driver": "bridge",
            "internal": True,
            "dns_enabled": False,
            "labels": dict(labels),
        }
        answer = self._api.call("POST", "/libpod/networks/create", what, body=body, finish=True)
        return NetworkInfo(answer.json()["id"], name, dict(labels))

    def connect(self, network: str, container: str, *, aliases: Sequence[str] = ()) -> None:
        """
        Connect a container to a second network.
        """
        endpoint = {"EndpointConfig": {"Aliases": list(aliases)}} if aliases else {}
        self._api.call(
            "POST",
            f"/networks/{network}/connect",
            f"connect the container {container} to the network {network}",
            body={"Container": container, **endpoint},
        )

    def host_addresses(self, network: str) -> list[str]:
        """
        Return the addresses of the engine's machine on a network. Docker 28 names a gateway of an
        internal network whose address it gives to a container.
        """
        what = f"inspect the network {network}"
        about = self._api.call("GET", f"/networks/{network}", what).json()
        gateways = (one.get("Gateway") for one in (about.get("IPAM") or {}).get("Config") or ())
        of_containers = {
            one.get(f"IPv{version}Address", "").partition("/")[0]
            for one in (about.get("Containers") or {}).values()
            for version in (4, 6)
        }
        # Podman spells an address that is missing as Go does.
        return [one for one in gateways if one and one != "<nil>" and one not in of_containers]

    def networks(self, labels: Mapping[str, str | None]) -> list[NetworkInfo]:
        """
        Return the networks with all *labels*.
        """
        answer = self._api.call("GET", "/networks", "list networks", params=label_filter(labels))
        return [
            NetworkInfo(one["Id"], one["Name"], one.get("Labels") or {})
            for one in answer.json()
            if has_labels(one.get("Labels") or {}, labels)
        ]

    def remove_network(self, network: str) -> None:
        """
        Remove a network.
        """
        what = f"remove the network {network}"
        if not self._api.dialect.guards_networks_by_id:
            answer = self._api.call("GET", f"/networks/{network}", what, allow={404})
            if answer.status_code == 404:
                return
            network = answer.json()["Name"]
        self._api.call("DELETE", f"/networks/{network}", what, allow={404})
