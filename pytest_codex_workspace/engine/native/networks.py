"""Networks of this engine."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ..labels import has_labels
from ..protocol import NetworkInfo
from .refusal import refused
from .runner.processes import is_alive
from .store import Store, read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NativeNetworks"]


class NativeNetworks:
    """
    The part of `NativeEngine` that is about networks.

    A network is a record. What carries it belongs to the containers that are connected, and ends
    with the last of them.
    """

    _store: Store

    def create_network(
        self, name: str, *, internal: bool, labels: Mapping[str, str]
    ) -> NetworkInfo:
        """
        Create a network whose members reach each other and nothing else.
        """
        what = f"create the network {name}"
        if not internal:
            raise refused(what, "networks of this engine have no way out; use the network host")
        record = {"id": secrets.token_hex(32), "name": name, "labels": dict(labels)}
        with self._store.lock():
            if self._store.find_network(name):
                raise refused(what, "it already exists")
            path = self._store.root / "trash" / f"{record['id']}-new"
            path.mkdir()
            write_json(path / "network.json", record)
            path.rename(self._store.root / "networks" / str(record["id"]))
        return _info(record)

    def host_addresses(self, network: str) -> list[str]:
        """
        Return the addresses of the machine on a network: it has none.
        """
        self._require_network(network, f"inspect the network {network}")
        return []

    def networks(self, labels: Mapping[str, str | None]) -> list[NetworkInfo]:
        """
        Return the networks with all *labels*.
        """
        found = self._store.network_records()
        return [_info(one) for one in found if has_labels(one["labels"], labels)]

    def remove_network(self, network: str) -> None:
        """
        Remove a network.
        """
        with self._store.lock():
            record = self._store.find_network(network)
            if record is None:
                return
            users = self._users(str(record["id"]))
            if users:
                what = f"remove the network {network}"
                raise refused(what, f"it has active endpoints: {', '.join(users)}")
            self._store.discard(self._store.root / "networks" / str(record["id"]))

    def _users(self, network: str) -> list[str]:
        """
        Return the names of the running containers of a network.
        """
        found = []
        for record in self._store.container_records():
            path = self._store.root / "containers" / record["id"] / "state.json"
            state = read_json(path) or {}
            if network in state.get("networks", {}) and is_alive(state["first"]):
                found.append(record["name"])
        return found

    def _require_network(self, network: str, what: str) -> None:
        if network != "host" and self._store.find_network(network) is None:
            raise refused(what, f"network {network} not found")


def _info(record: Mapping[str, object]) -> NetworkInfo:
    labels = record["labels"]
    assert isinstance(labels, dict)  # noqa: S101 -- so it is written
    return NetworkInfo(str(record["id"]), str(record["name"]), labels)
