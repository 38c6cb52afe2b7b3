"""A container engine in memory, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pytest_codex_workspace.engine.labels import has_labels
from pytest_codex_workspace.engine.protocol import Capacity, NetworkInfo

from .containers import FakeContainers
from .state import Run, full_name, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pytest_codex_workspace.engine.protocol import ContainerSpec

__all__ = ["FakeEngine", "Run"]


class FakeEngine(FakeContainers):
    """
    `Engine` in memory. Images have files and labels, commits have parents,
    networks have addresses, and a container is a call of *run* in a thread, which
    should return at the end of its input.

    Args:
        run: the function that containers, and the `RUN` steps of builds, call.
            The default reads its input to the end and returns 0.
        pullable: images that the registry has.

    Example:
        >>> def shout(spec, stdin, stdout):
        ...     stdout.write(stdin.readline().upper())
        ...     return 0
        >>> engine = FakeEngine(run=shout)
        >>> engine.add_image("tool:latest").tags
        ('tool:latest',)
    """

    def __init__(self, run: Run | None = None, *, pullable: Collection[str] = ()) -> None:
        super().__init__(run or _read_to_end)
        self._pullable = {full_name(one) for one in pullable}
        self._pushed = {}
        self._out_of_memory = set()

    @property
    def url(self) -> str:
        """
        A made-up address: the engine listens nowhere.
        """
        return "fake://"

    @property
    def egress_network(self) -> str:
        """
        The name of the engine's default network.
        """
        return "bridge"

    @property
    def platform(self) -> str:
        """
        The platform of the engine's images.
        """
        return "linux/amd64"

    @property
    def looks_up_digests(self) -> bool:
        """
        It does.
        """
        return True

    def version(self) -> Mapping[str, str]:
        """
        Return what a Docker engine would report about itself.
        """
        return {
            "name": "fake",
            "version": "1",
            "api": "1.41",
            "os": "linux",
            "arch": "amd64",
            "storage": "memory",
            "root": "/nowhere",
            "host": self._host,
            "modes": "",
        }

    @property
    def capacity(self) -> Capacity:
        """
        A machine with two processors and 16 GiB.
        """
        return Capacity(2, 16 * 1024**3)

    def close(self) -> None:
        """
        Do nothing: no connection is open.
        """

    def create_network(
        self,
        name: str,
        *,
        internal: bool,
        labels: Mapping[str, str],
    ) -> NetworkInfo:
        """
        Create a network.
        """
        with self._lock:
            if name in self._networks:
                raise refusal(f"create the network {name}", "it already exists")
            self._networks[name] = NetworkInfo(self._new_id(), name, dict(labels))
            return self._networks[name]

    def connect(
        self,
        network: str,
        container: str,
        *,
        aliases: Sequence[str] = (),
    ) -> None:
        """
        Connect a container to a second network.
        """
        what = f"connect the container {container} to the network {network}"
        with self._lock:
            found = self._require_container(container, what)
            target = self._find_network(network)
            if target is None:
                raise refusal(what, f"network {network} not found")
            found.networks.append(target.name)

    def host_addresses(self, network: str) -> list[str]:
        """
        Return the host's addresses on a network: this engine's has none.
        """
        if self._find_network(network) is None:
            raise refusal(f"inspect the network {network}", f"network {network} not found")
        return []

    def networks(self, labels: Mapping[str, str | None]) -> list[NetworkInfo]:
        """
        Return the networks with all *labels*.
        """
        with self._lock:
            return [one for one in self._networks.values() if has_labels(one.labels, labels)]

    def remove_network(self, network: str) -> None:
        """
        Remove a network.
        """
        with self._lock:
            target = self._find_network(network)
            if target is None:
                return
            used = [
                one.spec.name
                for one in self._containers.values()
                if one.state == "running" and target.name in one.networks
            ]
            if used:
                raise refusal(
                    f"remove the network {network}", f"it has active endpoints: {', '.join(used)}"
                )
            del self._networks[target.name]


def _read_to_end(_spec: ContainerSpec, stdin: BinaryIO, _stdout: BinaryIO) -> int:
    while stdin.read(1 << 16):
        continue
    return 0
